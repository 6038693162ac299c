#include "cloud/hub/http_chunks.hpp"

#include <gtest/gtest.h>

namespace sallyport::cloud {
namespace {

constexpr std::size_t line_max = 64;

/// "done BODY REST", "more" or the error, with the bytes coming `step` at a time.
std::string read(std::string_view bytes, std::size_t step, std::uint64_t body_max = 100) {
  chunk_reader chunks{body_max, line_max};
  std::size_t used = 0;
  for (std::size_t come = 0; come < bytes.size() && !chunks.is_done();) {
    come = std::min(come + step, bytes.size());
    const auto n = chunks.read(bytes.substr(used, come - used));
    if (!n)
      return std::string{to_string(n.err().code)};
    used += *n;
  }
  return chunks.is_done() ? "done " + chunks.take_body() + " " + std::string{bytes.substr(used)} : "more";
}

std::string read(std::string_view bytes) {
  const auto whole = read(bytes, bytes.size());
  for (std::size_t step : {1, 2, 3, 7})
    EXPECT_EQ(read(bytes, step), whole) << bytes << " by " << step;
  return whole;
}

TEST(http_chunks, are_put_together_and_end_where_they_end) {
  EXPECT_EQ(read("0\r\n\r\n"), "done  ");
  EXPECT_EQ(read("5\r\nhello\r\n00A\r\n, \r\nworld!\r\n0\r\n\r\n"), "done hello, \r\nworld! ");
  EXPECT_EQ(read("1;a=b;c=\"d e\"\r\nx\r\n1 ;y\r\nz\r\n0;last\r\nX-Sum: 1\r\nY:\r\n\r\n"), "done xz ");
  EXPECT_EQ(read("0\r\n\r\nGET /", 100), "done  GET /") << "what follows is the next request's";
  EXPECT_EQ(read("5\r\nhell"), "more");
  EXPECT_EQ(read("0\r\n\r"), "more");
}

TEST(http_chunks, that_two_readers_could_read_differently_are_refused) {
  for (const char* bytes : {
         "3 ; q=\"x\r\n\"\r\nabc\r\n0\r\n\r\n", // A quoted extension over line ends: three bytes of body, or the next line's?
         "3\nabc\r\n0\r\n\r\n",                 // LF alone.
         "3\r\nabc\n0\r\n\r\n",
         "3;\rx\r\nabc\r\n0\r\n\r\n", // CR alone.
         "3\r\nabcd\r\n0\r\n\r\n",    // Longer than it says.
         "0x3\r\nabc\r\n0\r\n\r\n",
         "+3\r\nabc\r\n0\r\n\r\n",
         " 3\r\nabc\r\n0\r\n\r\n",
         "3 x\r\nabc\r\n0\r\n\r\n",
         "\r\nabc\r\n0\r\n\r\n",
         "-1\r\n\r\n",
         "10000000000000003\r\nabc\r\n0\r\n\r\n", // 3, in 64 bits.
         "0\r\nContent-Length: 3\r\n\r\n",
         "0\r\nX-A: 1\r\n folded\r\n\r\n",
         "0\r\nX-A : 1\r\n\r\n",
         "0\r\nno field\r\n\r\n",
         "0\r\nX-A: \x01\r\n\r\n",
       })
    EXPECT_EQ(read(bytes), "malformed_http") << bytes;
}

TEST(http_chunks, stay_within_their_limits) {
  EXPECT_EQ(read("5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n", 100, 11), "done helloworld! ");
  EXPECT_EQ(read("5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n", 100, 10), "body_too_large");
  EXPECT_EQ(read("fffffffffffffff\r\n", 100), "body_too_large");
  EXPECT_EQ(read("1;" + std::string(line_max, 'x')), "malformed_http") << "before the line's end has come";
  std::string trailers = "0\r\n";
  for (int i = 0; i < 10; ++i)
    trailers += "X-A: 12345\r\n";
  EXPECT_EQ(read(trailers), "malformed_http") << "all of them together";
}

} // namespace
} // namespace sallyport::cloud

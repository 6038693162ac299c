#include "protocol/json.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cmath>
#include <limits>
#include <random>

namespace sallyport {
namespace {

std::string as_json(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(json_strings, escape_what_must_be_escaped_and_nothing_else) {
  EXPECT_EQ(as_json(""), "\"\"");
  EXPECT_EQ(as_json("a \"b\" \\ / \n\r\t"), R"("a \"b\" \\ / \n\r\t")");
  EXPECT_EQ(as_json(std::string_view{"\0\x1f\x7f", 3}), "\"\\u0000\\u001f\x7f\"");
  EXPECT_EQ(as_json("Größe 漢字 😀"), "\"Größe 漢字 😀\"");
}

TEST(json_strings, replace_each_byte_that_is_no_utf8) {
  EXPECT_EQ(as_json("a\xff"
                    "b"),
            "\"a\xef\xbf\xbd"
            "b\"");
  EXPECT_EQ(as_json("\xc0\xaf"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 // Overlong.
  EXPECT_EQ(as_json("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); // A surrogate.
  EXPECT_EQ(as_json("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 // Cut off.
}

TEST(json_strings, are_valid_json_whatever_bytes_they_are_made_of) {
  std::mt19937 random{20260131};
  simdjson::dom::parser parser;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (auto& c : bytes) // Mostly lead and tail bytes, so that many sequences are nearly right.
      c = static_cast<char>(random() % 3 == 0 ? random() % 256 : 0x80 + random() % 0x80);
    std::string_view back;
    ASSERT_EQ(parser.parse("[" + as_json(bytes) + "]").at(0).get(back), simdjson::SUCCESS) << "round " << round;
    if (simdjson::validate_utf8(bytes)) {
      ASSERT_EQ(back, bytes);
    }
  }
}

TEST(json_writer, sets_the_commas_itself) {
  json_writer w;
  w.begin_object().field("a", 1).field("b", "x").key("c").begin_array();
  w.number(std::uint64_t{1}).string("y").null().begin_object().end_object().begin_array().end_array().boolean(true);
  w.end_array().key("d").raw("{\"n\":1e999}").field("e", false).field("f", -7).field("g", std::string_view{"z"}).end_object();
  EXPECT_EQ(w.take(), R"({"a":1,"b":"x","c":[1,"y",null,{},[],true],"d":{"n":1e999},"e":false,"f":-7,"g":"z"})");
}

TEST(json_writer, numbers_read_back_the_same) {
  simdjson::dom::parser parser;
  for (double n : {0.0, 0.1, -1.5, 1e300, 5e-324, 123456789.123, std::numeric_limits<double>::max()}) {
    json_writer w;
    double back = 0;
    ASSERT_EQ(parser.parse(w.begin_array().number(n).end_array().take()).at(0).get_double().get(back), simdjson::SUCCESS);
    EXPECT_EQ(back, n);
  }
  json_writer w;
  w.begin_array().number(std::numeric_limits<std::uint64_t>::max()).number(std::numeric_limits<std::int64_t>::min()).end_array();
  EXPECT_EQ(w.take(), "[18446744073709551615,-9223372036854775808]");
}

} // namespace
} // namespace sallyport

#include "cloud/hub/http_guard.hpp"

#include <gtest/gtest.h>

namespace sallyport::cloud {
namespace {

std::string verdict(std::string_view head) {
  auto judged = judge_head(head);
  return judged ? "ok" : std::string{to_string(judged.err().code)};
}

TEST(http_guard, passes_what_clients_really_send) {
  EXPECT_EQ(verdict("GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"), "ok");
  EXPECT_EQ(verdict("GET /v1/groups?a=b%20c HTTP/1.0\r\n\r\n"), "ok");
  EXPECT_EQ(verdict("POST /v1/sessions HTTP/1.1\r\nHost: [::1]:8443\r\ncontent-length: 2\r\nX-Empty:\r\nX-Latin: \xe9\r\n\r\n"),
            "ok");
  EXPECT_EQ(verdict("POST /x HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding:  Chunked \r\nExpect: 100-Continue\r\n\r\n"), "ok");
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: hub\r\nAccept: a\r\nAccept: b\r\n\r\n"), "ok"); // Lists may come in parts.
}

TEST(bearer, is_read_from_its_scheme_alone) {
  EXPECT_EQ(bearer_token("Bearer sp_1"), "sp_1");
  EXPECT_EQ(bearer_token("bEARER \t sp_1 "), "sp_1");
  for (const char* other : {"", "Bearer", "Bearer ", "Basic c3BfMQ==", "Bearersp_1", " Bearer sp_1"})
    EXPECT_FALSE(bearer_token(other)) << other;
}

struct shape {
  const char* name;
  const char* head;
};

class smuggling : public testing::TestWithParam<shape> {};

TEST_P(smuggling, is_refused) {
  EXPECT_EQ(verdict(GetParam().head), "malformed_http") << GetParam().head;
}

#define HEAD(fields) "POST /x HTTP/1.1\r\nHost: hub\r\n" fields "\r\n"
INSTANTIATE_TEST_SUITE_P(
  shapes, smuggling,
  testing::Values(
    shape{"te_gzip", HEAD("Transfer-Encoding: gzip\r\n")}, shape{"te_gzip_chunked", HEAD("Transfer-Encoding: gzip, chunked\r\n")},
    shape{"te_chunked_twice", HEAD("Transfer-Encoding: chunked, chunked\r\n")},
    shape{"te_two_fields", HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
    shape{"te_identity", HEAD("Transfer-Encoding: identity\r\n")},
    shape{"te_vertical_tab", HEAD("Transfer-Encoding: \x0b"
                                  "chunked\r\n")},
    shape{"te_empty", HEAD("Transfer-Encoding:\r\n")}, shape{"te_quoted", HEAD("Transfer-Encoding: \"chunked\"\r\n")},
    shape{"te_with_cl", HEAD("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n")},
    shape{"cl_with_te", HEAD("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n")},
    shape{"te_on_1_0", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
    shape{"cl_conflicting", HEAD("Content-Length: 4\r\nContent-Length: 5\r\n")},
    shape{"cl_twice", HEAD("Content-Length: 4\r\nContent-Length: 4\r\n")}, shape{"cl_list", HEAD("Content-Length: 4, 4\r\n")},
    shape{"cl_signed", HEAD("Content-Length: +4\r\n")}, shape{"cl_negative", HEAD("Content-Length: -4\r\n")},
    shape{"cl_hex", HEAD("Content-Length: 0x4\r\n")}, shape{"cl_empty", HEAD("Content-Length:\r\n")},
    shape{"cl_huge", HEAD("Content-Length: 99999999999999999999\r\n")},
    shape{"host_twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    shape{"host_none", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n"}, shape{"host_list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
    shape{"host_path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    shape{"authorization_twice", HEAD("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")},
    shape{"folded", HEAD("X-A: 1\r\n 2\r\n")}, shape{"folded_te", HEAD("Transfer-Encoding:\r\n chunked\r\n")},
    shape{"blank_before_first_field", "GET / HTTP/1.1\r\n Host: hub\r\n\r\n"},
    shape{"blank_before_colon", HEAD("Content-Length : 4\r\n")}, shape{"no_colon", HEAD("Content-Length 4\r\n")},
    shape{"empty_name", HEAD(": 4\r\n")}, shape{"bare_lf", "GET / HTTP/1.1\nHost: hub\r\n\r\n"},
    shape{"bare_lf_in_field", HEAD("X-A: 1\nContent-Length: 4\r\n")}, shape{"bare_cr", HEAD("X-A: 1\rContent-Length: 4\r\n")},
    shape{"bare_cr_in_line", "GET /\r HTTP/1.1\r\nHost: hub\r\n\r\n"},
    shape{"control_in_value", HEAD("X-A: a\x01"
                                   "b\r\n")},
    shape{"absolute_form", "GET http://other/ HTTP/1.1\r\nHost: hub\r\n\r\n"},
    shape{"authority_form", "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"},
    shape{"asterisk_form", "OPTIONS * HTTP/1.1\r\nHost: hub\r\n\r\n"}, shape{"fragment", "GET /#a HTTP/1.1\r\nHost: hub\r\n\r\n"},
    shape{"blank_in_target", "GET /a b HTTP/1.1\r\nHost: hub\r\n\r\n"},
    shape{"two_blanks", "GET  / HTTP/1.1\r\nHost: hub\r\n\r\n"},
    shape{"not_ascii_target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: hub\r\n\r\n"}, shape{"version_0_9", "GET /\r\n\r\n"},
    shape{"version_2", "PRI /x HTTP/2.0\r\n\r\n"}, shape{"version_word", "GET / http/1.1\r\nHost: hub\r\n\r\n"},
    shape{"method_not_token", "G@T / HTTP/1.1\r\nHost: hub\r\n\r\n"}, shape{"expect_other", HEAD("Expect: 200-ok\r\n")},
    shape{"nothing", "\r\n\r\n"}),
  [](const auto& info) { return std::string{info.param.name}; });

TEST(http_guard, a_nul_is_no_part_of_a_value) {
  EXPECT_EQ(verdict(std::string_view{"GET / HTTP/1.1\r\nHost: hub\r\nX: a\0b\r\n\r\n", 37}), "malformed_http");
}

TEST(http_guard, has_an_end_to_the_fields) {
  std::string head = "GET / HTTP/1.1\r\nHost: hub\r\n";
  for (int i = 0; i < 99; ++i)
    head += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(verdict(head + "\r\n"), "ok");
  EXPECT_EQ(verdict(head + "One-More: 1\r\n\r\n"), "header_too_large");
}

TEST(http_guard, a_trailer_may_not_change_the_request) {
  EXPECT_TRUE(alters_request("Transfer-Encoding"));
  EXPECT_TRUE(alters_request("content-length"));
  EXPECT_TRUE(alters_request("HOST"));
  EXPECT_TRUE(alters_request("Authorization"));
  EXPECT_FALSE(alters_request("X-Checksum"));
}

} // namespace
} // namespace sallyport::cloud

#include "runtime/io/url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sallyport::io {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct wanted {
  const char* text;
  const char* authority;
  const char* host_header;
  const char* path;
  bool is_address;
};

TEST(hub_url, is_read_into_its_parts) {
  for (const auto& w : {
         wanted{"https://hub.example", "hub.example:443", "hub.example", "", false},
         wanted{"https://Hub.Example.:8443/", "hub.example:8443", "hub.example:8443", "", false},
         wanted{"HTTPS://hub.example/gate/way/", "hub.example:443", "hub.example", "/gate/way", false},
         wanted{"https://10.1.2.3:9", "10.1.2.3:9", "10.1.2.3:9", "", true},
         wanted{"https://[2001:DB8::1]:8443", "[2001:db8::1]:8443", "[2001:db8::1]:8443", "", true},
         wanted{"https://[::1]", "[::1]:443", "[::1]", "", true},
         wanted{"http://localhost:8080", "localhost:8080", "localhost:8080", "", false},
         wanted{"http://127.3.2.1:80", "127.3.2.1:80", "127.3.2.1", "", true},
         wanted{"https://10.1.2.3.", "10.1.2.3:443", "10.1.2.3", "", true},
       }) {
    const auto url = parse_hub_url(w.text);
    ASSERT_TRUE(url.ok()) << w.text << ": " << to_string(url.err());
    EXPECT_EQ(url->authority(), w.authority);
    EXPECT_EQ(url->host_header(), w.host_header) << w.text;
    EXPECT_EQ(url->path, w.path) << w.text;
    EXPECT_EQ(url->is_address, w.is_address) << w.text;
  }
}

TEST(hub_url, hides_nothing_behind_a_nul) {
  using namespace std::string_view_literals;
  for (const auto text : {"http://[::1\0\r\nX: y]:80"sv, "https://hub\0.example"sv, "https://10.0.0.1\0x"sv})
    EXPECT_FALSE(parse_hub_url(text).ok()) << text;
  EXPECT_FALSE(no_proxy_list::parse({std::string{"10.0.0.1\0x"sv}}).ok());
}

TEST(hub_url, is_refused_with_a_reason_that_helps) {
  const std::pair<const char*, const char*> cases[] = {
    {"hub.example:8443", "https://hub.example:8443"},
    {"", "does not begin with a scheme"},
    {"ftp://hub.example", "neither https nor http"},
    {"https://", "no host"},
    {"https://:8443", "no host"},
    {"https://hub_example..com", "not a host name"},
    {"https://hub example", "not a host name"},
    {"https://h\xc3\xbc"
     "b.example",
     "xn--"},
    {"https://hub.example:0", "1 to 65535"},
    {"https://hub.example:65536", "1 to 65535"},
    {"https://hub.example:", "1 to 65535"},
    {"https://hub.example:84x", "1 to 65535"},
    {"https://2001:db8::1", "brackets"},
    {"https://[2001:db8::1", "not closed"},
    {"https://[10.0.0.1]", "not an IPv6 address"},
    {"https://[::1]8443", "1 to 65535"},
    {"https://hub.example/?a=1", "'?'"},
    {"https://hub.example#top", "'#'"},
    {"https://hub.example/a b", "percent-encoded"},
    {"http://hub.example:8080", "plain http"},
    {"http://10.0.0.1:8080", "plain http"},
    {"http://localhost.evil.example", "plain http"},
  };
  for (const auto& entry : cases) {
    const auto url = parse_hub_url(entry.first);
    ASSERT_FALSE(url.ok()) << entry.first;
    EXPECT_EQ(url.err().code, errc::invalid_config);
    EXPECT_THAT(url.err().detail, HasSubstr(entry.second)) << entry.first;
  }
}

TEST(hub_url, with_a_password_is_refused_without_repeating_it) {
  for (const auto* text : {"https://user:hunter2@hub.example", "user:hunter2@hub.example", "https://u:hunter2@hub:x/?"}) {
    const auto url = parse_hub_url(text);
    ASSERT_FALSE(url.ok());
    EXPECT_THAT(url.err().detail, Not(HasSubstr("hunter2")));
  }
}

TEST(proxy_url, takes_port_3128_unless_named_and_speaks_plain_http_only) {
  EXPECT_EQ(parse_proxy_url("http://proxy.example")->port, 3128);
  EXPECT_EQ(parse_proxy_url("http://proxy.example/")->port, 3128);
  EXPECT_EQ(parse_proxy_url("http://[::1]")->port, 3128);
  EXPECT_EQ(parse_proxy_url("http://proxy.example:80")->port, 80);
  EXPECT_THAT(parse_proxy_url("https://proxy.example").err().detail, HasSubstr("plain http"));
  EXPECT_THAT(parse_proxy_url("http://proxy.example/way").err().detail, HasSubstr("no path"));
  EXPECT_THAT(parse_proxy_url("http://me:hunter2@proxy.example").err().detail, HasSubstr("proxy.user"));
}

TEST(no_proxy, matches_names_suffixes_addresses_and_blocks) {
  const auto list = no_proxy_list::parse(
    {"hub.example", ".corp.example", "10.0.0.0/8", "192.168.7.9", "172.16.0.0/12", "2001:db8::/33", "[::1]", "Dotted.Example."});
  ASSERT_TRUE(list.ok()) << to_string(list.err());
  for (const auto* host : {"hub.example", "HUB.example", "hub.example.", "corp.example", "a.corp.example", "a.b.Corp.Example",
                           "10.255.0.1", "192.168.7.9", "172.16.0.1", "172.31.255.255", "2001:db8::1", "2001:db8:7fff::", "::1",
                           "[::1]", "::ffff:10.1.1.1", "dotted.example"})
    EXPECT_TRUE(list->matches(host)) << host;
  for (const auto* host : {"a.hub.example", "xcorp.example", "corp.example.evil", "11.0.0.1", "192.168.7.8", "172.32.0.0",
                           "172.15.255.255", "2001:db8:8000::", "::2", "example", "", "10.evil.example"})
    EXPECT_FALSE(list->matches(host)) << host;
}

TEST(no_proxy, knows_everything_and_nothing) {
  EXPECT_TRUE(no_proxy_list::parse({"a.example", "*"})->matches("any.thing"));
  EXPECT_TRUE(no_proxy_list::parse({"0.0.0.0/0"})->matches("8.8.8.8"));
  EXPECT_FALSE(no_proxy_list::parse({"0.0.0.0/0"})->matches("2001:db8::1"));
  EXPECT_FALSE(no_proxy_list::parse({})->matches("any.thing"));
  EXPECT_FALSE(no_proxy_list{}.matches("localhost"));
}

TEST(no_proxy, names_the_entry_that_cannot_be_meant) {
  for (const auto* entry : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::1/129", "name/8", "hub.example:8443", "10.0.0.1:80", "",
                            ".", "a b", "*.example", "http://hub.example"}) {
    const auto list = no_proxy_list::parse({"fine.example", entry});
    ASSERT_FALSE(list.ok()) << entry;
    EXPECT_EQ(list.err().code, errc::invalid_config);
    EXPECT_THAT(list.err().detail, HasSubstr("\"" + std::string(entry) + "\""));
  }
}

} // namespace
} // namespace sallyport::io

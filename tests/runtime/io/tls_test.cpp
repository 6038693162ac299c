// Whom the transport believes, and what it says of those it does not.
#include "tests/runtime/io/asking.hpp"
#include "tests/support/temp_dir.hpp"

#include <openssl/ssl.h>

namespace sallyport::io {
namespace {

using testing::certificate_authority;
using testing::certificate_wish;
using testing::http_ok;
using testing::temp_dir;

class tls : public ::testing::Test {
protected:
  transport_settings trusting(const std::string& ca_file, const std::string& server_name = {}) {
    return {.token = "tok", .tls = {.ca_file = ca_file, .server_name = server_name}, .proxy = {}};
  }
  transport_settings trusting() { return trusting(authority_.ca_file()); }

  temp_dir folder_;
  certificate_authority authority_{folder_.path()};
};

TEST_F(tls, believes_a_certificate_of_its_authority_for_the_name_it_asked_for) {
  std::string asked_for;
  tls_server server({.certificate = authority_.issue()}, [&](peer& p) {
    p.handshake();
    asked_for = p.server_name();
    answer_all(p);
  });
  auto t = connect(server.url("localhost"), trusting());
  for (int i = 0; i < 100; ++i) {
    const auto reply = ask(*t, post("/", std::string(static_cast<std::size_t>(i) * 1000, 'x')));
    ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  }
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(asked_for, "localhost");
}

TEST_F(tls, carries_large_bodies_both_ways) {
  const std::string big(5'000'000, 'z');
  tls_server server({.certificate = authority_.issue()}, [](peer& p) {
    while (auto r = p.read_request())
      p.write(http_ok(r->body));
  });
  auto t = connect(server.url(), trusting());
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(ask(*t, post("/", big))->body, big);
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(tls, survives_chunks_that_come_in_the_smallest_pieces) {
  tls_server server({.certificate = authority_.issue()}, [](peer& p) {
    while (auto r = p.read_request()) { // Each write is a TLS record, and read by itself.
      p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (const char c : r->body.empty() ? std::string{"0\r\n\r\n"} : "2\r\n" + r->body + "\r\n0\r\nX: y\r\n\r\n")
        p.write({&c, 1});
    }
  });
  auto t = connect(server.url(), trusting());
  for (const std::string body : {"", "ab", "", "cd"}) {
    const auto reply = ask(*t, post("/", body));
    ASSERT_TRUE(reply.ok()) << to_string(reply.err());
    EXPECT_EQ(reply->body, body);
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(tls, believes_an_address_that_the_certificate_names) {
  tls_server server({.certificate = authority_.issue()}, answer_all);
  EXPECT_TRUE(ask(*connect(server.url("127.0.0.1"), trusting()), post("/")).ok());

  tls_server other({.certificate = authority_.issue({.addresses = {"10.9.8.7"}})}, answer_all);
  const auto reply = ask(*connect(other.url("127.0.0.1"), trusting()), post("/"));
  EXPECT_ERROR(reply, errc::tls_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("expected the name \"127.0.0.1\""));
  EXPECT_THAT(reply.err().detail, HasSubstr("10.9.8.7"));
}

TEST_F(tls, says_which_name_and_issuer_it_saw_when_the_name_is_wrong) {
  tls_server server(
    {.certificate = authority_.issue({.common_name = "localhost", .names = {"other.example", "www.other.example"}})}, answer_all);
  const auto reply = ask(*connect(server.url("localhost"), trusting()), post("/"));
  EXPECT_ERROR(reply, errc::tls_refused);
  const auto& detail = reply.err().detail;
  EXPECT_THAT(detail, HasSubstr("hostname mismatch"));
  EXPECT_THAT(detail, HasSubstr("expected the name \"localhost\""));
  EXPECT_THAT(detail, HasSubstr("other.example, www.other.example"));
  EXPECT_THAT(detail, HasSubstr("CN = Sallyport Test CA"));
  EXPECT_THAT(detail, HasSubstr("tls.server_name"));
  EXPECT_THAT(detail, Not(HasSubstr("tok\"")));
}

TEST_F(tls, expects_another_name_when_told_so) {
  std::string asked_for;
  tls_server server({.certificate = authority_.issue({.names = {"hub.example"}, .addresses = {}})}, [&](peer& p) {
    p.handshake();
    asked_for = p.server_name();
    answer_all(p);
  });
  EXPECT_TRUE(ask(*connect(server.url("127.0.0.1"), trusting(authority_.ca_file(), "hub.example")), post("/")).ok());
  EXPECT_EQ(asked_for, "hub.example");
}

TEST_F(tls, refuses_an_unknown_authority_and_says_where_to_name_it) {
  temp_dir elsewhere;
  certificate_authority stranger(elsewhere.path(), "Inspecting Proxy CA");
  tls_server server({.certificate = stranger.issue()}, answer_all);
  for (const auto& settings : {trusting(), trusting("")}) {
    const auto reply = ask(*connect(server.url(), settings), post("/"));
    EXPECT_ERROR(reply, errc::tls_refused);
    EXPECT_THAT(reply.err().detail, HasSubstr("Inspecting Proxy CA"));
    EXPECT_THAT(reply.err().detail, HasSubstr("unable to get local issuer certificate"));
    EXPECT_THAT(reply.err().detail, HasSubstr("tls.ca_file"));
  }
  EXPECT_TRUE(ask(*connect(server.url(), trusting(stranger.ca_file())), post("/")).ok());
}

TEST_F(tls, believes_a_ca_file_that_was_replaced_from_the_next_connection_on) {
  temp_dir elsewhere;
  certificate_authority successor(elsewhere.path(), "Sallyport Test CA 2");
  tls_server old_hub({.certificate = authority_.issue()}, answer_all);
  tls_server new_hub({.certificate = successor.issue()}, answer_all);
  const auto trusted = folder_.write("trusted.pem", testing::content_of(authority_.ca_file()));
  auto to_old = connect(old_hub.url(), trusting(trusted));
  auto to_new = connect(new_hub.url(), trusting(trusted));
  EXPECT_TRUE(ask(*to_old, post("/")).ok());
  EXPECT_ERROR(ask(*to_new, post("/")), errc::tls_refused);

  folder_.write("next.pem", testing::content_of(successor.ca_file()));
  std::filesystem::rename(folder_ / "next.pem", trusted);
  EXPECT_TRUE(ask(*to_new, post("/")).ok());
  EXPECT_TRUE(ask(*to_old, post("/")).ok()) << "the connection that was open";
  EXPECT_ERROR(ask(*to_old, post("/", "{}", 1)), errc::tls_refused);

  std::filesystem::remove(trusted); // A file that is away for a moment changes nothing.
  EXPECT_TRUE(ask(*to_new, post("/", "{}", 1)).ok());
}

TEST_F(tls, refuses_certificates_out_of_their_time) {
  using std::chrono::hours;
  for (const auto& [begins, ends, reason] :
       {std::tuple{hours(-3), hours(-1), "has expired"}, {hours(1), hours(3), "not yet valid"}}) {
    tls_server server({.certificate = authority_.issue({.begins = begins, .ends = ends})}, answer_all);
    const auto reply = ask(*connect(server.url(), trusting()), post("/"));
    EXPECT_ERROR(reply, errc::tls_refused);
    EXPECT_THAT(reply.err().detail, HasSubstr(reason));
    EXPECT_THAT(reply.err().detail, HasSubstr("clock"));
  }
}

TEST_F(tls, refuses_versions_before_1_2) {
  tls_server old({.certificate = authority_.issue(), .version_max = TLS1_1_VERSION}, answer_all);
  const auto reply = ask(*connect(old.url(), trusting()), post("/"));
  EXPECT_ERROR(reply, errc::tls_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("TLS 1.2"));
}

TEST_F(tls, says_so_when_the_peer_speaks_none) {
  tls_server plain({}, [](peer& p) {
    p.wait_for_bytes();
    p.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    p.wait_until_closed();
  });
  const auto reply = ask(*connect("https://localhost:" + std::to_string(plain.port()), trusting()), post("/"));
  EXPECT_ERROR(reply, errc::tls_refused);
  EXPECT_THAT(reply.err().detail, HasSubstr("check the port"));
}

TEST_F(tls, calls_a_peer_that_leaves_during_the_handshake_unreachable) {
  for (const bool reset : {false, true}) {
    tls_server server({}, [reset](peer& p) {
      p.wait_for_bytes();
      reset ? p.reset() : p.finish();
      p.wait_until_closed();
    });
    const auto reply = ask(*connect("https://localhost:" + std::to_string(server.port()), trusting()), post("/"));
    EXPECT_ERROR(reply, errc::unreachable);
    EXPECT_THAT(reply.err().detail, HasSubstr("TLS handshake"));
  }
}

TEST_F(tls, calls_a_peer_that_never_shakes_hands_unreachable) {
  tls_server server({}, [](peer& p) { p.wait_until_closed(); });
  auto request = post("/");
  request.timeout = milliseconds(200);
  const auto reply = ask(*connect("https://localhost:" + std::to_string(server.port()), trusting()), request);
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("in the TLS handshake"));
}

TEST_F(tls, does_not_take_a_cut_connection_for_the_end_of_an_answer) {
  tls_server server({.certificate = authority_.issue()}, [](peer& p) {
    auto r = p.read_request();
    p.write("HTTP/1.1 200 OK\r\n\r\nwithout a length"); // An attacker can cut the rest off, but not say farewell.
    r->body == "cut" ? p.cut() : p.finish();
    p.wait_until_closed();
  });
  auto t = connect(server.url(), trusting());
  EXPECT_EQ(ask(*t, post("/", "farewell"))->body, "without a length");
  EXPECT_ERROR(ask(*t, post("/", "cut")), errc::outcome_unknown);
}

TEST_F(tls, resumes_sessions) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::mutex mutex;
    std::vector<bool> resumed;
    tls_server server({.certificate = authority_.issue(), .version_max = version}, [&](peer& p) {
      p.read_request();
      {
        const std::lock_guard lock(mutex);
        resumed.push_back(p.resumed());
      }
      p.write(http_ok("{}", "Connection: close\r\n"));
      p.wait_until_closed();
    });
    auto t = connect(server.url(), trusting());
    for (int i = 0; i < 4; ++i)
      ASSERT_TRUE(ask(*t, post("/")).ok());
    EXPECT_EQ(resumed, (std::vector<bool>{false, true, true, true})) << version;
  }
}

} // namespace
} // namespace sallyport::io

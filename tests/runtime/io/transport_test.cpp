// The transport against servers that do exactly what each test needs. Plain http where TLS adds nothing; tls_test.cpp has the rest.
#include "runtime/io/client.hpp"

#include "tests/runtime/io/asking.hpp"
#include "tests/support/eventually.hpp"
#include "tests/support/free_port.hpp"

#include <algorithm>

namespace sallyport::io {
namespace {

using testing::eventually;
using testing::http_ok;
using testing::seen_request;

TEST(transport, sends_what_was_asked_and_hands_back_what_was_answered) {
  std::promise<seen_request> seen;
  tls_server server({}, [&](peer& p) {
    seen.set_value(*p.read_request());
    p.write("HTTP/1.1 202 Accepted\r\nContent-Type: application/problem+json\r\nLocation: /v1/messages/m1\r\nRetry-After: 17\r\n"
            "Content-Length: 5\r\n\r\nhello");
    p.wait_until_closed();
  });
  auto t = connect(server.url() + "/prefix", {.token = "tok-1", .tls = {}, .proxy = {}});
  auto request = post("/v1/x?y=1", "{\"a\":1}");
  request.accept = "text/plain";
  request.prefer = "wait=3";
  const auto reply = ask(*t, request);
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(reply->status, 202);
  EXPECT_EQ(reply->content_type, "application/problem+json");
  EXPECT_EQ(reply->location, "/v1/messages/m1");
  EXPECT_EQ(reply->retry_after_s, 17u);
  EXPECT_EQ(reply->body, "hello");

  const auto got = seen.get_future().get();
  EXPECT_EQ(got.first_line(), "POST /prefix/v1/x?y=1 HTTP/1.1");
  EXPECT_EQ(got.field("Host"), "localhost:" + std::to_string(server.port()));
  EXPECT_EQ(got.field("Authorization"), "Bearer tok-1");
  EXPECT_THAT(got.field("User-Agent"), HasSubstr("sallyport/"));
  EXPECT_EQ(got.field("Content-Type"), "application/json");
  EXPECT_EQ(got.field("Accept"), "text/plain");
  EXPECT_EQ(got.field("Prefer"), "wait=3");
  EXPECT_EQ(got.body, "{\"a\":1}");
}

TEST(transport, sends_no_body_fields_with_a_get) {
  std::promise<seen_request> seen;
  tls_server server({}, [&](peer& p) {
    seen.set_value(*p.read_request());
    p.write("HTTP/1.1 204 No Content\r\n\r\n");
    p.wait_until_closed();
  });
  auto t = connect(server.url());
  http_request request;
  request.method = "GET";
  request.target = "/healthz";
  const auto reply = ask(*t, request);
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(reply->status, 204);
  const auto got = seen.get_future().get();
  EXPECT_EQ(got.field("Content-Length"), "");
  EXPECT_EQ(got.field("Content-Type"), "");
  EXPECT_EQ(got.field("Authorization"), "");
}

TEST(transport, carries_the_requests_of_a_slot_in_order_over_one_connection) {
  std::mutex mutex;
  std::vector<std::string> order;
  tls_server server({}, [&](peer& p) {
    while (auto r = p.read_request()) {
      const std::lock_guard lock(mutex);
      order.push_back(r->body);
      p.write(http_ok(r->body));
    }
  });
  auto t = connect(server.url());
  std::vector<std::unique_ptr<question>> questions;
  for (int i = 0; i < 200; ++i)
    questions.push_back(
      std::make_unique<question>(*t, post("/", std::string(static_cast<std::size_t>(i) * 97 + 1, 'x') + std::to_string(i))));
  std::vector<std::string> wanted;
  for (auto& q : questions) {
    const auto reply = q->get();
    ASSERT_TRUE(reply.ok()) << to_string(reply.err());
    wanted.push_back(reply->body);
  }
  EXPECT_EQ(order, wanted);
  EXPECT_EQ(server.connections(), 1);
}

TEST(transport, lets_no_slot_wait_for_a_parked_request_of_another) {
  std::promise<void> release;
  auto released = release.get_future().share();
  tls_server server({}, [&](peer& p) {
    while (auto r = p.read_request()) {
      if (r->body == "park")
        released.wait();
      p.write(http_ok(r->body));
    }
  });
  auto t = connect(server.url());
  question parked(*t, post("/claims", "park", 1));
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(ask(*t, post("/heartbeat", "beat", 0)).ok());
  EXPECT_FALSE(parked.answered());
  release.set_value();
  EXPECT_TRUE(parked.get().ok());
  EXPECT_EQ(server.connections(), 2);
}

TEST(transport, reads_chunked_bodies_bodies_without_length_and_interim_answers) {
  const std::string big(3'000'000, 'b');
  tls_server server({}, [&](peer& p) {
    while (auto r = p.read_request()) {
      if (r->body == "chunked") {
        p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n");
        p.write("5;x=y\r\npedia\r\n0\r\nTrailer: yes\r\n\r\n");
      } else if (r->body == "interim") {
        p.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http_ok("after"));
      } else if (r->body == "big") {
        p.write(http_ok(big));
      } else {
        p.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        p.finish();
        p.wait_until_closed();
        return;
      }
    }
  });
  auto t = connect(server.url());
  EXPECT_EQ(ask(*t, post("/", "chunked"))->body, "wikipedia");
  EXPECT_EQ(ask(*t, post("/", "interim"))->body, "after");
  EXPECT_EQ(ask(*t, post("/", "big"))->body, big);
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(ask(*t, post("/", "rest"))->body, "until the end");
  EXPECT_EQ(ask(*t, post("/", "chunked"))->body, "wikipedia");
  EXPECT_EQ(server.connections(), 2);
}

TEST(transport, takes_a_status_of_any_kind_for_a_reply) {
  tls_server server({}, [](peer& p) {
    while (auto r = p.read_request())
      p.write("HTTP/1.1 " + r->body + " Word\r\nContent-Length: 0\r\n\r\n");
  });
  auto t = connect(server.url());
  for (const auto* status : {"200", "301", "407", "429", "500", "599"})
    EXPECT_EQ(std::to_string(ask(*t, post("/", status))->status), status);
}

TEST(transport, refuses_a_body_over_its_limit) {
  tls_server server({}, [](peer& p) {
    while (auto r = p.read_request())
      p.write(r->body == "sized"
                ? http_ok(std::string(1001, 'x'))
                : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n");
  });
  auto t = connect(server.url(), {.token = {}, .tls = {}, .proxy = {}, .body_limit = 1000});
  for (const auto* kind : {"sized", "chunked"}) {
    const auto reply = ask(*t, post("/", kind));
    EXPECT_ERROR(reply, errc::outcome_unknown);
    EXPECT_THAT(reply.err().detail, HasSubstr("larger than 1000 bytes"));
  }
}

TEST(transport, opens_a_new_connection_after_the_peer_closed_an_idle_one) {
  std::promise<bool> noticed;
  tls_server server({}, [&](peer& p) {
    if (p.number() > 1)
      return answer_all(p);
    p.read_request();
    p.write(http_ok());
    p.finish();
    noticed.set_value(p.wait_until_closed()); // The client closes its side because it has seen our end.
  });
  auto t = connect(server.url());
  ASSERT_TRUE(ask(*t, post("/")).ok());
  ASSERT_TRUE(noticed.get_future().get());
  const auto reply = ask(*t, post("/"));
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(reply->body, "{\"connection\":2}");
}

TEST(transport, uses_no_connection_again_that_the_peer_wants_closed) {
  tls_server server({}, [](peer& p) {
    p.read_request();
    p.write(http_ok(std::to_string(p.number()), "Connection: close\r\n"));
    p.wait_until_closed();
  });
  auto t = connect(server.url());
  EXPECT_EQ(ask(*t, post("/"))->body, "1");
  EXPECT_EQ(ask(*t, post("/"))->body, "2");
}

TEST(transport, trusts_no_connection_that_says_more_than_it_was_asked) {
  tls_server server({}, [](peer& p) {
    while (p.read_request())
      p.write(http_ok(std::to_string(p.number())) + http_ok("a second answer"));
  });
  auto t = connect(server.url());
  EXPECT_EQ(ask(*t, post("/"))->body, "1");
  EXPECT_EQ(ask(*t, post("/"))->body, "2");
}

TEST(transport, takes_an_answer_that_comes_before_the_request_is_out) {
  std::promise<void> done;
  auto is_done = done.get_future().share();
  tls_server server({}, [&](peer& p) {
    p.write("HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
    is_done.wait(); // Never reads: the request cannot get out.
  });
  auto t = connect(server.url());
  const auto reply = ask(*t, post("/", std::string(32 << 20, 'x')));
  done.set_value();
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(reply->status, 413);
}

// ---- what became of a request when the connection breaks ---------------------------------------------------------------------------

TEST(broken_connection, refused_means_unreachable) {
  auto t = connect("http://127.0.0.1:" + std::to_string(testing::free_port()));
  const auto reply = ask(*t, post("/"));
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("127.0.0.1: Connection refused"));
}

TEST(broken_connection, a_name_without_address_means_unreachable) {
  auto t = connect("https://no-such-host.invalid");
  const auto reply = ask(*t, post("/"));
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("no-such-host.invalid"));
}

struct breaking {
  const char* what;
  std::function<void(peer&)> how;
  errc wanted;
  const char* detail;
};

TEST(broken_connection, after_the_whole_request_means_that_it_may_have_been_carried_out) {
  const std::string half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
  for (const auto& b : {
         breaking{"closed", [](peer& p) { p.finish(); }, errc::outcome_unknown, "without an answer"},
         breaking{"reset", [](peer& p) { p.reset(); }, errc::outcome_unknown, "without an answer"},
         breaking{"within the head", [](peer& p) { p.write("HTTP/1.1 200 O"), p.finish(); }, errc::outcome_unknown,
                  "within the answer"},
         breaking{"within the body", [half](peer& p) { p.write(half), p.finish(); }, errc::outcome_unknown, "within the answer"},
         breaking{"reset within the body", [half](peer& p) { p.write(half), p.reset(); }, errc::outcome_unknown, ""},
         breaking{"within a chunk",
                  [](peer& p) { p.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"), p.finish(); },
                  errc::outcome_unknown, "within the answer"},
         breaking{"another protocol", [](peer& p) { p.write("220 mail.example ESMTP\r\n"); }, errc::outcome_unknown,
                  "cannot be understood"},
         breaking{"two lengths", [](peer& p) { p.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"); },
                  errc::outcome_unknown, "cannot be understood"},
         breaking{"an endless head",
                  [](peer& p) {
                    while (p.write("HTTP/1.1 200 OK\r\nX: " + std::string(1 << 20, 'x'))) {
                    }
                  },
                  errc::outcome_unknown, "cannot be understood"},
       }) {
    std::promise<void> over;
    auto is_over = over.get_future().share();
    tls_server server({}, [&](peer& p) {
      if (p.number() > 1)
        return answer_all(p);
      p.read_request();
      b.how(p);
      is_over.wait();
    });
    auto t = connect(server.url());
    const auto reply = ask(*t, post("/"));
    over.set_value();
    SCOPED_TRACE(b.what);
    EXPECT_ERROR(reply, b.wanted);
    EXPECT_THAT(reply.err().detail, HasSubstr(b.detail));
    EXPECT_TRUE(ask(*t, post("/")).ok());
  }
}

TEST(broken_connection, before_the_request_was_out_means_that_nobody_carried_it_out) {
  tls_server server({}, [](peer& p) {
    p.wait_for_bytes(); // The request has begun; most of it cannot leave, because nobody reads.
    p.reset();
  });
  auto t = connect(server.url());
  const auto reply = ask(*t, post("/", std::string(64 << 20, 'x'))); // More than all socket buffers hold.
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("before the request had left"));
}

// ---- time ------------------------------------------------------------------------------------------------------------------------

TEST(time_limit, of_a_request_that_left_means_that_it_may_have_been_carried_out) {
  std::promise<void> over;
  auto is_over = over.get_future().share();
  tls_server server({}, [&](peer& p) {
    if (p.number() > 1)
      return answer_all(p);
    p.read_request();
    p.write("HTTP/1.1 200 OK\r\nContent-Le"); // The clock covers the whole answer.
    is_over.wait();
  });
  auto t = connect(server.url());
  auto request = post("/");
  request.timeout = milliseconds(150);
  const auto reply = ask(*t, request);
  EXPECT_ERROR(reply, errc::timed_out);
  EXPECT_THAT(reply.err().detail, HasSubstr("150 ms"));
  // What the first connection may still say is not taken for the next one's answer.
  EXPECT_EQ(ask(*t, post("/"))->body, "{\"connection\":2}");
  over.set_value();
}

TEST(time_limit, counts_while_a_request_waits_for_its_slot) {
  std::promise<void> release;
  auto released = release.get_future().share();
  tls_server server({}, [&](peer& p) {
    while (p.read_request()) {
      released.wait();
      p.write(http_ok());
    }
  });
  auto t = connect(server.url());
  question first(*t, post("/"));
  auto hasty = post("/");
  hasty.timeout = milliseconds(50);
  const auto reply = ask(*t, hasty);
  EXPECT_ERROR(reply, errc::timed_out);
  EXPECT_THAT(reply.err().detail, HasSubstr("was not sent"));
  EXPECT_FALSE(first.answered());
  release.set_value();
  EXPECT_TRUE(first.get().ok());
}

// ---- closing ---------------------------------------------------------------------------------------------------------------------

TEST(closing, ends_what_is_under_way_before_it_returns) {
  std::atomic<int> parked = 0;
  tls_server server({}, [&](peer& p) {
    while (p.read_request()) {
      ++parked;
      p.wait_until_closed();
    }
  });
  auto t = connect(server.url());
  std::atomic<int> stopped = 0;
  for (std::uint32_t i = 0; i < 6; ++i) // Two to a slot: one under way, one waiting.
    t->send(post("/", "{}", i % 3), [&](result<http_reply> r) { stopped += !r && r.err().code == errc::stopped; });
  ASSERT_TRUE(eventually([&] { return parked == 3; }));
  t->close();
  EXPECT_EQ(stopped, 6);
  EXPECT_ERROR(ask(*t, post("/")), errc::stopped);
  t->close();
}

TEST(closing, works_while_it_still_connects) {
  tls_server server({}, [](peer& p) { p.wait_until_closed(); }); // Takes the connection and never shakes hands.
  auto t = connect("https://127.0.0.1:" + std::to_string(server.port()));
  question q(*t, post("/"));
  ASSERT_TRUE(eventually([&] { return server.connections() == 1; }));
  t->close();
  ASSERT_TRUE(q.answered());
  EXPECT_ERROR(q.get(), errc::stopped);
}

TEST(closing, may_be_asked_for_by_a_handler_which_may_be_the_last_owner) {
  tls_server server({}, answer_all);
  auto t = connect(server.url());
  std::promise<void> done;
  auto* raw = t.get();
  std::atomic<int> stopped = 0;
  raw->send(post("/"), [&, t = std::move(t)](result<http_reply> r) mutable {
    EXPECT_TRUE(r.ok());
    t->send(post("/"), [&](result<http_reply> second) { stopped += !second && second.err().code == errc::stopped; });
    t->close();
    EXPECT_EQ(stopped, 1);
    t.reset(); // Also the last owner of the io thread that this runs on.
    done.set_value();
  });
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(closing, answers_everybody_once_while_many_threads_send) {
  tls_server server({}, answer_all);
  for (int round = 0; round < 5; ++round) {
    auto t = connect(server.url());
    std::atomic<int> sent = 0, answered = 0;
    std::vector<std::thread> senders;
    for (std::uint32_t n = 0; n < 4; ++n)
      senders.emplace_back([&, n] {
        for (int i = 0; i < 200; ++i, ++sent)
          t->send(post("/", "{}", n), [&](result<http_reply>) { ++answered; });
      });
    while (sent < 100) {
    }
    t->close();
    for (auto& s : senders)
      s.join();
    EXPECT_TRUE(eventually([&] { return answered == 800; })) << answered;
  }
}

// ---- asking --------------------------------------------------------------------------------------------------------------------

TEST(transport, refuses_fields_that_would_change_the_framing) {
  tls_server server({}, answer_all);
  auto t = connect(server.url());
  auto bad_target = post("/v1/messages/a b");
  auto smuggled = post("/x\r\nHost: evil");
  auto bad_type = post("/");
  bad_type.content_type = "text/plain\r\nX: y";
  auto bad_method = post("/");
  bad_method.method = "GET /";
  for (const auto& request : {bad_target, smuggled, bad_type, bad_method, post("")})
    EXPECT_ERROR(ask(*t, request), errc::invalid_request);
  EXPECT_EQ(server.connections(), 0);
}

TEST(transport, is_not_made_from_settings_that_cannot_work) {
  const auto refusal = [](transport_settings s) {
    auto made = make_https_transport_factory(s);
    return made ? std::string("accepted") : to_string(made.err());
  };
  EXPECT_THAT(refusal({.token = "two words", .tls = {}, .proxy = {}}), HasSubstr("token"));
  EXPECT_THAT(refusal({.token = "secret\nend", .tls = {}, .proxy = {}}), Not(HasSubstr("secret")));
  EXPECT_THAT(refusal({.token = {}, .tls = {.ca_file = "/no/such/ca.pem", .server_name = {}}, .proxy = {}}),
              HasSubstr("/no/such/ca.pem"));
  EXPECT_THAT(refusal({.token = {}, .tls = {}, .proxy = {.url = "proxy:3128", .user = {}, .password = {}, .no_proxy = {}}}),
              HasSubstr("scheme"));
  EXPECT_THAT(refusal({.token = {}, .tls = {}, .proxy = {.url = "http://p", .user = {}, .password = "hunter2", .no_proxy = {}}}),
              HasSubstr("proxy.user"));
  EXPECT_THAT(
    refusal({.token = {}, .tls = {}, .proxy = {.url = "http://p", .user = {}, .password = {}, .no_proxy = {"1.2.3.4/99"}}}),
    HasSubstr("1.2.3.4/99"));
  config::agent_settings agent;
  agent.hubs = {"https://fine.example", "http://not.fine.example"};
  EXPECT_FALSE(make_https_transport_factory(agent).ok());
  agent.hubs.pop_back();
  EXPECT_TRUE(make_https_transport_factory(agent).ok());
}

TEST(client, asks_and_waits) {
  tls_server server({}, answer_all);
  auto hub = client::make(server.url(), {});
  ASSERT_TRUE(hub.ok()) << to_string(hub.err());
  EXPECT_EQ(hub->send(post("/"))->body, "{\"connection\":1}");
  EXPECT_EQ(hub->send(post("/"))->body, "{\"connection\":1}");
  EXPECT_FALSE(client::make("hub.example", {}).ok());
}

} // namespace
} // namespace sallyport::io

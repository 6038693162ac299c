// The links are part of the proof: weather that does nothing would let everything pass the judgement.
#include "tests/chaos/links.hpp"

#include "tests/support/eventually.hpp"
#include "tests/support/tls_server.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <cerrno>

namespace sallyport::chaos {
namespace {

using std::chrono::milliseconds;

/// A client that says lines and hears them again.
class caller {
public:
  explicit caller(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET, to.sin_port = htons(port), to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~caller() { ::close(fd_); }
  caller(const caller&) = delete;
  caller& operator=(const caller&) = delete;

  void say(const std::string& text) { ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  /// What has come within the time, or once so much has come. "reset" at a reset.
  std::string hear(std::size_t bytes, milliseconds bound) {
    std::string out;
    timeval wait{static_cast<time_t>(bound.count() / 1000), static_cast<suseconds_t>(bound.count() % 1000 * 1000)};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    char buffer[4096];
    while (out.size() < bytes) {
      const auto n = ::recv(fd_, buffer, std::min(sizeof buffer, bytes - out.size()), 0);
      if (n < 0 && errno != EAGAIN)
        return "reset";
      if (n <= 0)
        break;
      out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
  }

private:
  int fd_;
};

constexpr milliseconds long_enough{20'000}, a_while{150};

struct link : ::testing::Test {
  link() : port(net.add("a", server.port())) {}

  // Answers every request with its own body.
  sallyport::testing::tls_server server{{}, [](sallyport::testing::peer& p) {
                                          while (auto r = p.read_request())
                                            if (!p.write(r->body))
                                              return;
                                        }};
  links net{7};
  std::uint16_t port;

  static std::string request(const std::string& body) {
    return "POST / HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
};

} // namespace

TEST_F(link, that_is_open_lets_everything_pass) {
  caller c(port);
  const std::string body(100'000, 'x');
  c.say(request(body));
  EXPECT_EQ(c.hear(body.size(), long_enough), body);
}

TEST_F(link, that_holds_delivers_everything_in_order_once_it_is_open) {
  caller c(port);
  c.say(request("1"));
  ASSERT_EQ(c.hear(1, long_enough), "1");
  net.set("a", {.requests = passage::held});
  c.say(request("2"));
  c.say(request("3"));
  EXPECT_EQ(c.hear(2, a_while), "");
  net.set("a", {});
  EXPECT_EQ(c.hear(2, long_enough), "23");
}

TEST_F(link, that_swallowed_is_reset_once_it_is_open) {
  caller c(port);
  c.say(request("1"));
  ASSERT_EQ(c.hear(1, long_enough), "1");
  net.set("a", {.answers = passage::swallowed});
  c.say(request("2"));
  EXPECT_EQ(c.hear(1, a_while), "");
  net.set("a", {});
  EXPECT_EQ(c.hear(1, long_enough), "reset");
  EXPECT_EQ(net.resets(), 1u);
}

TEST_F(link, that_was_cut_and_swallowed_nothing_goes_on) {
  caller c(port);
  net.set("a", {.requests = passage::swallowed, .answers = passage::swallowed});
  net.set("a", {});
  c.say(request("1"));
  EXPECT_EQ(c.hear(1, long_enough), "1");
}

TEST_F(link, that_refuses_resets_new_connections_only) {
  caller before(port);
  before.say(request("1"));
  ASSERT_EQ(before.hear(1, long_enough), "1");
  net.set("a", {.refuses = true});
  caller after(port);
  EXPECT_EQ(after.hear(1, long_enough), "reset");
  before.say(request("2"));
  EXPECT_EQ(before.hear(1, long_enough), "2");
}

TEST_F(link, that_is_cut_connects_who_waits_once_it_is_open) {
  net.set("a", {.requests = passage::held});
  caller c(port);
  c.say(request("1"));
  EXPECT_EQ(c.hear(1, a_while), "");
  EXPECT_EQ(server.connections(), 0);
  net.set("a", {});
  EXPECT_EQ(c.hear(1, long_enough), "1");
}

TEST_F(link, that_is_lossy_resets_in_the_middle) {
  net.set("a", {.resets = 1});
  caller c(port);
  c.say(request("1"));
  EXPECT_EQ(c.hear(1, long_enough), "reset");
}

TEST_F(link, that_is_slow_delivers_later) {
  net.set("a", {.delay = milliseconds(100)});
  caller c(port);
  const auto sent = std::chrono::steady_clock::now();
  c.say(request("1"));
  EXPECT_EQ(c.hear(1, long_enough), "1");
  EXPECT_GE(std::chrono::steady_clock::now() - sent, milliseconds(200)) << "once there and once back";
}

TEST_F(link, to_nobody_resets) {
  links others(1);
  const auto nobody = others.add("b", 1);
  caller c(nobody);
  EXPECT_EQ(c.hear(1, long_enough), "reset");
}

} // namespace sallyport::chaos

// A hub whose name has several addresses, which no name of this machine has: hence the link itself, with the addresses given.
#include "runtime/io/http_link.hpp"

#include "tests/runtime/io/asking.hpp"

#include <boost/asio/io_context.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sallyport::io {
namespace {

result<http_reply> ask_once(const std::shared_ptr<destination>& to) {
  boost::asio::io_context io;
  const auto link = make_http_link(io, to);
  result<http_reply> answer(errc::internal, "never called");
  link->exchange(post("/"), [&](result<http_reply> r) {
    answer = std::move(r);
    link->abandon(); // Nothing is pending any more, so run() returns.
  });
  io.run();
  return answer;
}

std::shared_ptr<destination> hub_at(std::uint16_t port, std::vector<std::string> addresses) {
  auto to = std::make_shared<destination>();
  to->hub = *parse_hub_url("http://localhost:" + std::to_string(port));
  to->addresses = std::move(addresses);
  to->head_fields = "Host: localhost\r\n";
  to->body_limit = 1000;
  return to;
}

/// Occupies an address so that a connection to it gets no answer at all: its queue is full and nobody accepts.
class deaf_listener {
public:
  deaf_listener(const char* host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, host, &address.sin_addr);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(sockets_[0], generic, sizeof address) != 0 || listen(sockets_[0], 0) != 0)
      throw std::runtime_error(std::string("cannot listen on ") + host);
    for (int i = 0; i < 4; ++i) {
      sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      connect_to(sockets_.back(), generic);
    }
  }
  ~deaf_listener() {
    for (const int fd : sockets_)
      close(fd);
  }

private:
  static void connect_to(int fd, const sockaddr* to) { (void)::connect(fd, to, sizeof(sockaddr_in)); }
  std::vector<int> sockets_;
};

TEST(http_link, tries_the_addresses_of_a_name_in_turn_and_the_one_that_answered_first_next_time) {
  tls_server server({}, answer_all);
  const auto to = hub_at(server.port(), {"127.0.0.3", "127.0.0.2", "127.0.0.1"}); // Nobody listens on the first two.
  const auto reply = ask_once(to);
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(to->last_address, "127.0.0.1");

  boost::asio::io_context io;
  const auto next = make_http_link(io, to);
  next->exchange(post("/"), [](const result<http_reply>&) {});
  EXPECT_EQ(next->doing(), "connecting to 127.0.0.1");
  next->abandon();
  io.run();
}

TEST(http_link, does_not_wait_long_for_an_address_that_keeps_silent) {
  tls_server server({}, answer_all);
  const deaf_listener deaf("127.0.0.2", server.port());
  const auto to = hub_at(server.port(), {"127.0.0.2", "127.0.0.1"});
  const auto reply = ask_once(to);
  ASSERT_TRUE(reply.ok()) << to_string(reply.err());
  EXPECT_EQ(to->last_address, "127.0.0.1");
}

TEST(http_link, tells_of_every_address_what_was_wrong_with_it) {
  tls_server server({}, answer_all);
  const auto reply = ask_once(hub_at(server.port(), {"127.0.0.2", "127.0.0.3"}));
  EXPECT_ERROR(reply, errc::unreachable);
  EXPECT_THAT(reply.err().detail, HasSubstr("127.0.0.2: Connection refused, 127.0.0.3: Connection refused"));
}

} // namespace
} // namespace sallyport::io

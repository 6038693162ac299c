// A TCP proxy on loopback that can lose the answer to a request: it lets the request through, waits for the answer, so that the server
// has acted for certain, and then cuts the connection instead of passing the answer on.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sallyport::adapters::sql {

class cutting_proxy {
public:
  explicit cutting_proxy(std::uint16_t target) : target_(target), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    auto address = loopback(0);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 16);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread{[this] { accept_all(); }};
  }
  ~cutting_proxy() {
    ending_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (auto& r : relays_)
      r.join();
    ::close(listener_);
  }
  cutting_proxy(const cutting_proxy&) = delete;
  cutting_proxy& operator=(const cutting_proxy&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int cuts() const { return cuts_; }
  /// How often a client went on after an answer: exact as long as every request and every answer fits into one packet.
  [[nodiscard]] int round_trips() const { return round_trips_; }
  /// The next `times` connections on which this text is sent lose its answer.
  void cut_next_answer_to(std::string text, int times) {
    std::lock_guard lock{mutex_};
    trigger_ = std::move(text);
    armed_ = times;
  }

private:
  static sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void accept_all() {
    while (!ending_) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0)
        continue;
      const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const auto address = loopback(target_);
      ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address);
      relays_.emplace_back([this, client, server] { relay(client, server); });
    }
  }

  void relay(int client, int server) {
    auto losing = false, answered = true;
    pollfd fds[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    while (!ending_) {
      if (::poll(fds, 2, 50) <= 0)
        continue;
      char buffer[65536];
      if (fds[0].revents) {
        const auto n = ::recv(client, buffer, sizeof buffer, 0);
        if (n <= 0)
          break;
        round_trips_ += answered;
        answered = false;
        losing = losing || takes({buffer, static_cast<std::size_t>(n)});
        ::send(server, buffer, static_cast<std::size_t>(n), MSG_NOSIGNAL);
      }
      if (fds[1].revents) {
        const auto n = ::recv(server, buffer, sizeof buffer, 0);
        if (n <= 0 || losing)
          break;
        answered = true;
        ::send(client, buffer, static_cast<std::size_t>(n), MSG_NOSIGNAL);
      }
    }
    if (losing)
      ++cuts_;
    ::close(client);
    ::close(server);
  }

  bool takes(std::string_view sent) {
    std::lock_guard lock{mutex_};
    if (armed_ == 0 || sent.find(trigger_) == std::string_view::npos)
      return false;
    --armed_;
    return true;
  }

  std::uint16_t target_, port_ = 0;
  int listener_;
  std::mutex mutex_;
  std::string trigger_;
  int armed_ = 0;
  std::atomic<int> cuts_{0}, round_trips_{0};
  std::atomic<bool> ending_{false};
  std::vector<std::thread> relays_; // The acceptor's, until it has ended.
  std::thread acceptor_;
};

} // namespace sallyport::adapters::sql

#include "bench/peers/http_wire.hpp"

#include "bench/peers/poll_until.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace sallyport::bench {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

[[noreturn]] void fail_tls(const std::string& what) {
  char text[256] = "the connection broke";
  if (const auto code = ERR_get_error(); code != 0)
    ERR_error_string_n(code, text, sizeof text);
  throw std::runtime_error(what + ": " + text);
}

std::shared_ptr<SSL_CTX> trusting(const std::string& ca_file) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!context || SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr) != 1)
    fail_tls("reading " + ca_file);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  return context;
}

} // namespace

class http_wire::connection {
public:
  connection(const http_peer& to, SSL_CTX* tls) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    inet_pton(AF_INET, to.host.c_str(), &address.sin_addr);
    if (fd_ < 0 || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      fail("connecting to " + to.host + ":" + std::to_string(to.port));
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (tls != nullptr) {
      tls_ = SSL_new(tls);
      SSL_set_fd(tls_, fd_);
      SSL_set_tlsext_host_name(tls_, "localhost");
      SSL_set1_host(tls_, "localhost");
      if (SSL_connect(tls_) != 1)
        fail_tls("the TLS handshake");
    }
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~connection() {
    SSL_free(tls_);
    close(fd_);
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  [[nodiscard]] bool is_free() const { return !busy_; }
  [[nodiscard]] pollfd wish() const {
    return {fd_, static_cast<short>(POLLIN | (written_ < head_.size() + body_.size() ? POLLOUT : 0)), 0};
  }

  void begin(std::uint64_t number, std::string head, std::string body) {
    number_ = number, busy_ = true;
    head_ = std::move(head), body_ = std::move(body);
    written_ = 0;
    write();
  }

  void write() {
    while (written_ < head_.size() + body_.size()) {
      const bool in_head = written_ < head_.size();
      const auto at = in_head ? written_ : written_ - head_.size();
      const auto& part = in_head ? head_ : body_;
      ssize_t n = 0;
      if (tls_ != nullptr) {
        n = SSL_write(tls_, part.data() + at, static_cast<int>(part.size() - at));
        if (n <= 0) {
          if (const auto why = SSL_get_error(tls_, static_cast<int>(n));
              why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return;
          fail_tls("writing a request");
        }
      } else {
        iovec parts[2]{{const_cast<char*>(part.data() + at), part.size() - at}, {body_.data(), body_.size()}};
        n = writev(fd_, parts, in_head ? 2 : 1);
        if (n < 0) {
          if (errno == EAGAIN || errno == EINTR)
            return;
          fail("writing a request");
        }
      }
      written_ += static_cast<std::size_t>(n);
    }
  }

  std::optional<http_answer> read() {
    while (true) {
      char buffer[64 << 10];
      ssize_t n = 0;
      if (tls_ != nullptr) {
        n = SSL_read(tls_, buffer, sizeof buffer);
        if (n <= 0) {
          if (const auto why = SSL_get_error(tls_, static_cast<int>(n));
              why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return {};
          fail_tls("reading an answer");
        }
      } else {
        n = ::read(fd_, buffer, sizeof buffer);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
          return {};
        if (n <= 0)
          fail(n == 0 ? "the hub closed a connection" : "reading an answer");
      }
      answer_.append(buffer, static_cast<std::size_t>(n));
      if (auto whole = parse())
        return whole;
    }
  }

private:
  std::optional<http_answer> parse() {
    const auto head_end = answer_.find("\r\n\r\n");
    if (head_end == std::string::npos)
      return {};
    const std::string_view head(answer_.data(), head_end);
    std::size_t length = 0;
    int status = 0;
    std::from_chars(head.data() + 9, head.data() + 12, status);
    const std::string_view name = "\r\nContent-Length: ";
    if (const auto at = head.find(name); at != std::string_view::npos)
      std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length);
    if (answer_.size() < head_end + 4 + length)
      return {};
    http_answer whole{number_, status, answer_.substr(head_end + 4, length)};
    answer_.clear(); // One answer for one request: nothing follows.
    busy_ = false;
    return whole;
  }

  int fd_ = -1;
  SSL* tls_ = nullptr;
  bool busy_ = false;
  std::uint64_t number_ = 0;
  std::string head_, body_, answer_;
  std::size_t written_ = 0;
};

http_wire::http_wire(const http_peer& to, std::size_t connections) {
  const auto tls = to.ca_file.empty() ? nullptr : trusting(to.ca_file);
  for (std::size_t i = 0; i < connections; ++i)
    connections_.push_back(std::make_unique<connection>(to, tls.get()));
}

http_wire::~http_wire() = default;

std::uint64_t http_wire::send(std::string head, std::string body) {
  for (const auto& c : connections_)
    if (c->is_free()) {
      c->begin(sent_, std::move(head), std::move(body));
      return sent_++;
    }
  throw std::runtime_error("more requests at once than connections");
}

std::vector<http_answer> http_wire::reap(std::chrono::nanoseconds at_most) {
  const auto give_up = now_ns() + static_cast<std::uint64_t>(at_most.count());
  std::vector<http_answer> answers;
  while (answers.empty()) {
    std::vector<pollfd> wishes;
    for (const auto& c : connections_)
      wishes.push_back(c->wish());
    if (!poll_until(wishes, give_up, "the hub"))
      break;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
      if ((wishes[i].revents & POLLOUT) != 0)
        connections_[i]->write();
      if ((wishes[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        if (auto answer = connections_[i]->read())
          answers.push_back(std::move(*answer));
    }
  }
  return answers;
}

} // namespace sallyport::bench

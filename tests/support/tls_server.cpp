#include "tests/support/tls_server.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace sallyport::testing {

std::string seen_request::field(const std::string& name) const {
  const auto key = "\r\n" + name + ": ";
  const auto at = head.find(key);
  if (at == std::string::npos)
    return {};
  const auto begin = at + key.size();
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

std::string http_ok(const std::string& body, const std::string& more_fields) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + more_fields + "Content-Length: " + std::to_string(body.size())
         + "\r\n\r\n" + body;
}

// ---- peer ------------------------------------------------------------------------------------------------------------------------

peer::peer(int fd, int number, ssl_ctx_st* context) : fd_(fd), number_(number) {
  const timeval bound{20, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
  if (context) {
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd_);
  }
}

peer::~peer() {
  SSL_free(ssl_);
  close(fd_);
}

bool peer::handshake() {
  if (ssl_ && !shaken_)
    shaken_ = SSL_accept(ssl_) == 1;
  ERR_clear_error();
  return !ssl_ || shaken_;
}

int peer::read_some(char* out, int size) {
  if (!handshake())
    return -1;
  const int n = ssl_ ? SSL_read(ssl_, out, size) : static_cast<int>(recv(fd_, out, static_cast<std::size_t>(size), 0));
  ERR_clear_error();
  return n;
}

std::optional<seen_request> peer::read_request() {
  char chunk[16 << 10];
  const auto read_until = [&](auto&& enough) {
    while (!enough()) {
      const int n = read_some(chunk, sizeof chunk);
      if (n <= 0)
        return false;
      buffer_.append(chunk, static_cast<std::size_t>(n));
    }
    return true;
  };
  std::size_t head_end = 0;
  if (!read_until([&] { return (head_end = buffer_.find("\r\n\r\n")) != std::string::npos; }))
    return std::nullopt;
  seen_request out{buffer_.substr(0, head_end), {}};
  const auto length = std::strtoul(out.field("Content-Length").c_str(), nullptr, 10);
  if (!read_until([&] { return buffer_.size() >= head_end + 4 + length; }))
    return std::nullopt;
  out.body = buffer_.substr(head_end + 4, length);
  buffer_.erase(0, head_end + 4 + length);
  return out;
}

bool peer::write(std::string_view bytes) {
  if (!handshake())
    return false;
  while (!bytes.empty()) {
    const auto n =
      ssl_ ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) : send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ERR_clear_error();
    if (n <= 0)
      return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool peer::wait_for_bytes() {
  char first;
  return recv(fd_, &first, 1, MSG_PEEK) == 1;
}

bool peer::wait_until_closed() {
  char chunk[16 << 10];
  for (;;) {
    const auto n = recv(fd_, chunk, sizeof chunk, 0); // Below TLS: only the end matters.
    if (n <= 0)
      return n == 0 || errno == ECONNRESET;
  }
}

void peer::finish() {
  if (ssl_ && shaken_)
    SSL_shutdown(ssl_);
  shutdown(fd_, SHUT_WR);
}

void peer::cut() {
  shutdown(fd_, SHUT_RDWR);
}

void peer::reset() {
  const linger now{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  // An RST goes out when the last descriptor is closed; the number stays ours, so that nobody else gets it meanwhile.
  const int dead = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  dup2(dead, fd_);
  close(dead);
}

bool peer::resumed() const {
  return ssl_ && SSL_session_reused(ssl_);
}

std::string peer::server_name() const {
  const char* name = ssl_ ? SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name) : nullptr;
  return name ? name : "";
}

void peer::interrupt() {
  shutdown(fd_, SHUT_RDWR);
}

// ---- server ----------------------------------------------------------------------------------------------------------------------

tls_server::tls_server(const tls_server_options& options, script on_connection) : script_(std::move(on_connection)) {
  if (options.certificate) {
    context_ = SSL_CTX_new(TLS_server_method());
    if (options.version_max != 0) {
      SSL_CTX_set_max_proto_version(context_, options.version_max);
      if (options.version_max < TLS1_2_VERSION) {
        SSL_CTX_set_security_level(context_, 0);
        SSL_CTX_set_min_proto_version(context_, options.version_max);
      }
    }
    static constexpr unsigned char id[] = "sallyport test";
    SSL_CTX_set_session_id_context(context_, id, sizeof id - 1);
    if (SSL_CTX_use_certificate_chain_file(context_, options.certificate->cert.c_str()) != 1
        || SSL_CTX_use_PrivateKey_file(context_, options.certificate->key.c_str(), SSL_FILETYPE_PEM) != 1)
      throw std::runtime_error("cannot use " + options.certificate->cert);
  }
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 64) != 0
      || getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("cannot listen on 127.0.0.1");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

tls_server::~tls_server() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  close(listener_);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& p : peers_)
      p->interrupt();
  }
  for (auto& t : threads_)
    t.join();
  peers_.clear();
  SSL_CTX_free(context_);
}

void tls_server::accept_all() {
  // OpenSSL writes with write(2): a client that is gone must not end the test.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0)
      return;
    const auto p = std::make_shared<peer>(fd, ++accepted_, context_);
    const std::lock_guard lock(mutex_);
    peers_.push_back(p);
    threads_.emplace_back([this, p] {
      script_(*p);
      p->interrupt(); // The script's end is the connection's.
    });
  }
}

std::string tls_server::url(const std::string& host) const {
  return (context_ ? "https://" : "http://") + host + ":" + std::to_string(port_);
}

} // namespace sallyport::testing

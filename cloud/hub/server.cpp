#include "cloud/hub/server.hpp"

#include "cloud/hub/http_connection.hpp"
#include "cloud/hub/tls.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace sallyport::cloud {

namespace asio = boost::asio;
using asio::ip::tcp;

struct server::body : std::enable_shared_from_this<body> {
  body(server_settings s, io_pool& io, api& front, metrics& meter)
    : settings(std::move(s)),
      lanes(io),
      shared(std::make_shared<connection_shared>(settings.limits, settings.answer_timeout, front, meter)),
      acceptor(io.context(0)),
      pause(acceptor.get_executor()) {}

  const server_settings settings;
  io_pool& lanes;
  unsigned next_lane = 0;
  std::shared_ptr<connection_shared> shared;
  std::unique_ptr<asio::ssl::context> tls; // Replaced when its files change; a connection keeps what it began with.
  tls_files_stamp tls_stamp;
  std::chrono::steady_clock::time_point tls_looked_at{};
  asio::basic_socket_acceptor<tcp, lane_executor> acceptor;
  asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, lane_executor> pause;
  std::uint16_t port = 0;

  result<void> open() {
    const auto colon = settings.listen.rfind(':');
    const auto fault = [&](const std::string& what) {
      return make_error(errc::invalid_config, "listen on " + settings.listen + ": " + what);
    };
    if (colon == settings.listen.npos)
      return fault("expected HOST:PORT");
    auto host = settings.listen.substr(0, colon);
    const auto service = settings.listen.substr(colon + 1);
    if (service.empty() || service.size() > 5 || service.find_first_not_of("0123456789") != service.npos
        || std::stoi(service) > 65535)
      return fault("the port is no number from 0 to 65535");
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
      host = host.substr(1, host.size() - 2);
    boost::system::error_code ec;
    tcp::resolver resolver{lanes.context(0)};
    const auto found = resolver.resolve(host, service, tcp::resolver::passive | tcp::resolver::numeric_service, ec);
    if (ec || found.empty())
      return fault(ec.message());
    const auto endpoint = found.begin()->endpoint();
    if (settings.loopback_only && !endpoint.address().is_loopback())
      return fault("without TLS only a loopback address is allowed, such as 127.0.0.1; leave --dev out and give a certificate");
    if (!settings.tls_cert_file.empty()) {
      tls_stamp = stamp_of(settings.tls_cert_file, settings.tls_key_file);
      tls_looked_at = std::chrono::steady_clock::now();
      auto made = make_server_tls(settings.tls_cert_file, settings.tls_key_file);
      if (!made)
        return made.err();
      tls = *std::move(made);
    }
    acceptor.open(endpoint.protocol(), ec);
    if (!ec)
      acceptor.set_option(asio::socket_base::reuse_address(true), ec);
    if (!ec)
      acceptor.bind(endpoint, ec);
    if (!ec)
      acceptor.listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
      return {errc::cannot_listen, "listen on " + settings.listen + ": " + ec.message()};
    port = acceptor.local_endpoint().port();
    return {};
  }

  void accept() {
    acceptor.async_accept(lanes.context(next_lane++),
                          [self = shared_from_this()](boost::system::error_code ec, socket_type socket) {
                            if (ec == asio::error::operation_aborted || !self->acceptor.is_open())
                              return;
                            if (ec) { // Out of descriptors, most likely: those in use come back.
                              spdlog::warn("event=accept_failed error=\"{}\"", ec.message());
                              self->pause.expires_after(std::chrono::milliseconds{100});
                              self->pause.async_wait([self](boost::system::error_code) { self->accept(); });
                              return;
                            }
                            self->admit(std::move(socket));
                            self->accept();
                          });
  }

  /// A renewed certificate is used without a restart. One that does not fit is reported, and the old one kept.
  void renew_tls() {
    const auto now = std::chrono::steady_clock::now();
    if (!tls || now - tls_looked_at < std::chrono::seconds{1})
      return;
    tls_looked_at = now;
    const auto stamp = stamp_of(settings.tls_cert_file, settings.tls_key_file);
    if (stamp == tls_stamp)
      return;
    tls_stamp = stamp;
    auto made = make_server_tls(settings.tls_cert_file, settings.tls_key_file);
    if (made) {
      tls = *std::move(made);
      spdlog::info("event=certificate_renewed file={}", settings.tls_cert_file);
    } else {
      spdlog::error("event=certificate_unusable error=\"{}\"", to_string(made.err()));
    }
  }

  /// A few over the limit are told so; the rest are cut.
  void admit(socket_type socket) {
    const auto open = shared->open.load();
    if (open >= settings.limits.sockets + connection_shared::told_beyond_limit) {
      shared->meter.refused("sockets");
      return;
    }
    renew_tls();
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    start_connection(shared, std::move(socket), tls.get(), open >= settings.limits.sockets);
  }
};

server::server(std::shared_ptr<body> b) : body_(std::move(b)) {}

server::~server() {
  begin_stop();
  finish_stop(milliseconds{0});
}

result<std::unique_ptr<server>> server::start(server_settings settings, io_pool& io, api& front, metrics& meter) {
  auto b = std::make_shared<body>(std::move(settings), io, front, meter);
  if (auto opened = b->open(); !opened)
    return opened.err();
  asio::post(b->acceptor.get_executor(), [b] { b->accept(); });
  return std::unique_ptr<server>{new server{std::move(b)}};
}

std::uint16_t server::port() const {
  return body_->port;
}

void server::begin_stop() {
  if (body_->shared->stopping.exchange(true))
    return;
  asio::post(body_->acceptor.get_executor(), [b = body_] {
    boost::system::error_code ignored;
    b->acceptor.close(ignored);
    b->pause.cancel();
  });
  body_->shared->each([](connection_handle& c) { c.stop_soon(); });
}

void server::finish_stop(milliseconds within) {
  auto& shared = *body_->shared;
  if (shared.wait_empty(within))
    return;
  spdlog::warn("event=connections_cut count={}", shared.open.load());
  shared.each([](connection_handle& c) { c.cut(); });
  shared.wait_empty(milliseconds{2'000});
}

} // namespace sallyport::cloud

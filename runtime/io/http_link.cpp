#include "runtime/io/http_link.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <vector>

namespace sallyport::io {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using net::ip::tcp;
using executor = net::io_context::executor_type;
using tcp_socket = net::basic_stream_socket<tcp, executor>;
using tcp_resolver = net::ip::basic_resolver<tcp, executor>;
using timer = net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, executor>;
using parser = http::response_parser<http::string_body>;
using clock = std::chrono::steady_clock;

/// Connecting, tunnel and handshake together: a long poll must not wait half a minute for a hub that is gone.
constexpr auto connect_limit = std::chrono::seconds(10);
/// One address, while others are left to try.
constexpr auto address_limit = std::chrono::seconds(3);
/// A peer that vanished without a word is noticed after about this long, also under a parked request.
constexpr auto silence_limit = std::chrono::seconds(20);
constexpr std::size_t head_limit = 64 << 10;
constexpr std::size_t read_size = 32 << 10;

std::string words(const error_code& ec) {
  return ec == net::error::eof || ec == net::ssl::error::stream_truncated ? "the peer closed it" : ec.message();
}

bool needs_body_length(const std::string& method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

std::optional<unsigned> seconds_of(boost::beast::string_view text) {
  unsigned n = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size())
    return std::nullopt; // Or an HTTP date, which no hub of ours sends.
  return n;
}

class tcp_link final : public http_link, public std::enable_shared_from_this<tcp_link> {
public:
  tcp_link(net::io_context& io, std::shared_ptr<destination> to)
    : io_(io),
      to_(std::move(to)),
      resolver_(io),
      socket_(io),
      timer_(io) {}

  ~tcp_link() override {
    // Else OpenSSL takes the closing without a farewell for an attack and forgets the session that the next link would resume.
    if (tls_)
      SSL_set_shutdown(tls_->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }

  void exchange(const runtime::http_request& request, handler on_reply) override {
    SALLYPORT_ASSERT(!on_reply_ && usable());
    on_reply_ = std::move(on_reply);
    out_ = request.method + " " + to_->hub.path + request.target + " HTTP/1.1\r\n" + to_->head_fields;
    if (!request.accept.empty())
      out_ += "Accept: " + request.accept + "\r\n";
    if (!request.prefer.empty())
      out_ += "Prefer: " + request.prefer + "\r\n";
    if (!request.body.empty() || needs_body_length(request.method))
      out_ += "Content-Type: " + request.content_type + "\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n";
    out_ += "\r\n";
    out_ += request.body;
    written_ = write_ended_ = false;
    write_failure_ = read_failure_ = {};
    in_total_ = 0;
    expect_reply(false);
    if (stage_ == stage::idle)
      write();
    else
      open();
  }

  [[nodiscard]] bool usable() const override { return stage_ == stage::closed || stage_ == stage::idle; }
  [[nodiscard]] bool has_sent() const override { return stage_ == stage::busy; }

  [[nodiscard]] std::string doing() const override {
    switch (stage_) {
      case stage::resolving: return "looking up " + first_hop().host;
      case stage::connecting: return "connecting to " + address_;
      case stage::tunnelling: return "waiting for the proxy " + first_hop().authority() + " to reach " + to_->hub.authority();
      case stage::shaking_hands: return "in the TLS handshake with " + to_->hub.authority();
      case stage::busy: return (written_ ? "waiting for the answer of " : "sending to ") + to_->hub.authority();
      default: return "idle";
    }
  }

  void abandon() override {
    on_reply_ = nullptr;
    die();
  }

private:
  enum class stage : std::uint8_t { closed, resolving, connecting, tunnelling, shaking_hands, busy, idle, dead };

  [[nodiscard]] const url& first_hop() const { return to_->proxy ? *to_->proxy : to_->hub; }
  [[nodiscard]] std::string hop_name() const { return (to_->proxy ? "the proxy " : "the hub ") + first_hop().authority(); }

  // ---- connecting ----------------------------------------------------------------------------------------------------------------

  void open() {
    give_up_at_ = clock::now() + connect_limit;
    const auto& hop = first_hop();
    for (const auto& address : to_->addresses)
      endpoints_.emplace_back(net::ip::make_address(address), hop.port);
    if (!endpoints_.empty()) {
      try_addresses();
      return;
    }
    stage_ = stage::resolving;
    arm_timer(give_up_at_);
    resolver_.async_resolve(hop.host, std::to_string(hop.port), tcp::resolver::numeric_service,
                            [self = shared_from_this()](const error_code& ec, const tcp_resolver::results_type& found) {
                              if (self->stage_ == stage::resolving)
                                self->on_resolved(ec, found);
                            });
  }

  void on_resolved(const error_code& ec, const tcp_resolver::results_type& found) {
    for (const auto& entry : found) {
      // Plain http was allowed because the name means this machine; hold the name to it.
      if (to_->tls || to_->proxy || entry.endpoint().address().is_loopback())
        endpoints_.push_back(entry.endpoint());
    }
    if (endpoints_.empty()) {
      fail(errc::unreachable, hop_name() + " cannot be reached: its name " + first_hop().host + " has no usable address"
                                + (ec ? " (" + words(ec) + ")" : ""));
      return;
    }
    try_addresses();
  }

  void try_addresses() {
    const auto last = std::find_if(endpoints_.begin(), endpoints_.end(),
                                   [this](const tcp::endpoint& e) { return e.address().to_string() == to_->last_address; });
    if (last != endpoints_.end())
      std::rotate(endpoints_.begin(), last, last + 1);
    connect_next();
  }

  void connect_next() {
    if (next_endpoint_ == endpoints_.size()) {
      fail(errc::unreachable, hop_name() + " cannot be reached: " + tried_);
      return;
    }
    const auto endpoint = endpoints_[next_endpoint_++];
    address_ = endpoint.address().to_string();
    stage_ = stage::connecting;
    socket_ = tcp_socket(io_);
    const bool last = next_endpoint_ == endpoints_.size();
    arm_timer(last ? give_up_at_ : std::min(give_up_at_, clock::now() + address_limit));
    socket_.async_connect(endpoint, [self = shared_from_this(), attempt = next_endpoint_](const error_code& ec) {
      if (self->stage_ == stage::connecting && self->next_endpoint_ == attempt)
        self->on_connected(ec);
    });
  }

  void on_connected(const error_code& ec) {
    if (ec) {
      not_this_address(words(ec));
      return;
    }
    to_->last_address = address_;
    set_options();
    arm_timer(give_up_at_);
    if (to_->proxy)
      tunnel();
    else
      secure();
  }

  void not_this_address(const std::string& why) {
    tried_ += (tried_.empty() ? "" : ", ") + address_ + ": " + why;
    connect_next();
  }

  void set_options() {
    const auto set = [fd = socket_.native_handle()](int level, int name, int value) {
      ::setsockopt(fd, level, name, &value, sizeof value); // Best effort: without them only the request's own time limit is left.
    };
    set(IPPROTO_TCP, TCP_NODELAY, 1);
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(std::chrono::milliseconds(silence_limit).count()));
  }

  void arm_timer(clock::time_point at) {
    timer_.expires_at(at);
    timer_.async_wait([self = shared_from_this()](const error_code& ec) {
      if (!ec)
        self->on_timer();
    });
  }

  void on_timer() {
    if (stage_ == stage::closed || stage_ >= stage::busy || clock::now() < timer_.expiry())
      return; // Connected, or armed anew, in the meantime.
    if (stage_ == stage::connecting && clock::now() < give_up_at_)
      not_this_address("no answer within 3 s");
    else
      fail(errc::unreachable, "gave up after 10 s " + doing() + (tried_.empty() ? "" : " (" + tried_ + ")"));
  }

  // ---- through the proxy -----------------------------------------------------------------------------------------------------------

  void tunnel() {
    stage_ = stage::tunnelling;
    const auto hub = to_->hub.authority();
    tunnel_request_ = "CONNECT " + hub + " HTTP/1.1\r\nHost: " + hub + "\r\nUser-Agent: sallyport/" SALLYPORT_VERSION "\r\n";
    if (!to_->proxy_authorization.empty())
      tunnel_request_ += "Proxy-Authorization: " + to_->proxy_authorization + "\r\n";
    tunnel_request_ += "\r\n";
    expect_reply(true);
    net::async_write(socket_, net::buffer(tunnel_request_), [self = shared_from_this()](const error_code& ec, std::size_t) {
      if (self->stage_ != stage::tunnelling)
        return;
      if (ec)
        self->on_tunnel_read(ec, 0);
      else
        self->read_tunnel();
    });
  }

  void read_tunnel() {
    socket_.async_read_some(in_.prepare(read_size), [self = shared_from_this()](const error_code& ec, std::size_t n) {
      if (self->stage_ == stage::tunnelling)
        self->on_tunnel_read(ec, n);
    });
  }

  void on_tunnel_read(const error_code& ec, std::size_t n) {
    if (ec) {
      fail(errc::proxy_refused,
           hop_name() + " ended the connection instead of answering CONNECT " + to_->hub.authority() + ": " + words(ec));
      return;
    }
    in_.commit(n);
    error_code parsed;
    while (in_.size() > 0 && !parsed && !parser_->is_header_done())
      in_.consume(parser_->put(in_.data(), parsed));
    if (parsed && parsed != http::error::need_more) {
      fail(errc::proxy_refused, hop_name() + " does not answer like an HTTP proxy: " + words(parsed));
    } else if (!parser_->is_header_done()) {
      read_tunnel();
    } else if (const auto& reply = parser_->get(); reply.result_int() / 100 != 2) {
      refused_by_proxy(reply);
    } else if (in_.size() > 0) {
      fail(errc::proxy_refused, hop_name() + " sent data into the tunnel that the hub cannot have sent");
    } else {
      expect_reply(false);
      secure();
    }
  }

  void refused_by_proxy(const parser::value_type& reply) {
    const auto status = reply.result_int();
    const auto said = std::to_string(status) + " " + std::string(reply.reason());
    const auto target = to_->hub.authority();
    if (status == 407) {
      const std::string offered(reply[http::field::proxy_authenticate]);
      std::string detail = hop_name() + " wants authentication (" + said + ")";
      if (to_->proxy_authorization.empty())
        detail += ": set proxy.user and proxy.password";
      else
        detail += ": it does not accept the user \"" + to_->proxy_user
                  + "\" with the password given; check proxy.user and proxy.password";
      if (!offered.empty())
        detail += "; it offers " + offered + ", and Basic is what can be done";
      fail(errc::proxy_refused, detail);
    } else if (status == 502 || status == 503 || status == 504) {
      fail(errc::unreachable, hop_name() + " cannot reach " + target + " (" + said + ")");
    } else {
      fail(errc::proxy_refused, hop_name() + " does not allow CONNECT " + target + " (" + said
                                  + "): allow it in the proxy's rules, or add the host to proxy.no_proxy");
    }
  }

  // ---- TLS -----------------------------------------------------------------------------------------------------------------------

  void secure() {
    if (!to_->tls) {
      start();
      return;
    }
    stage_ = stage::shaking_hands;
    trust_ = to_->tls = tls_context::renewed(to_->tls);
    tls_.emplace(socket_, trust_->make_ssl(seen_));
    tls_->async_handshake(net::ssl::stream_base::client, [self = shared_from_this()](const error_code& ec) {
      if (self->stage_ == stage::shaking_hands)
        self->on_handshake(ec);
    });
  }

  void on_handshake(const error_code& ec) {
    const bool by_tls = ec.category() == net::error::get_ssl_category()
                        && ERR_GET_REASON(static_cast<unsigned long>(ec.value())) != SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (!ec)
      start();
    else if (by_tls)
      fail(errc::tls_refused, trust_->explain(to_->hub.authority(), seen_, words(ec)));
    else
      fail(errc::unreachable, "the connection to " + to_->hub.authority() + " broke in the TLS handshake: " + words(ec));
  }

  void start() {
    timer_.cancel();
    write();
    read(); // Never stops from here on: so an idle link notices at once that the peer has closed it.
  }

  // ---- exchanging ------------------------------------------------------------------------------------------------------------------

  void expect_reply(bool head_only) {
    parser_.emplace();
    parser_->eager(true);
    parser_->skip(head_only);
    parser_->header_limit(head_limit);
    parser_->body_limit(to_->body_limit);
  }

  void write() {
    stage_ = stage::busy;
    auto done = [self = shared_from_this()](const error_code& ec, std::size_t n) { self->on_written(ec, n); };
    if (tls_)
      net::async_write(*tls_, net::buffer(out_), std::move(done));
    else
      net::async_write(socket_, net::buffer(out_), std::move(done));
  }

  void on_written(const error_code& ec, std::size_t n) {
    written_ = n == out_.size();
    write_ended_ = true;
    if (read_failure_)
      broken(read_failure_);
    else if (ec && stage_ == stage::busy)
      write_failure_ = ec; // The read tells the rest: an answer that came early, or the connection's end.
  }

  void read() {
    auto done = [self = shared_from_this()](const error_code& ec, std::size_t n) { self->on_read(ec, n); };
    if (tls_)
      tls_->async_read_some(in_.prepare(read_size), std::move(done));
    else
      socket_.async_read_some(in_.prepare(read_size), std::move(done));
  }

  void on_read(const error_code& ec, std::size_t n) {
    if (stage_ != stage::busy) {
      die(); // The peer closed an idle link, or sent what nobody asked for.
      return;
    }
    in_.commit(n);
    in_total_ += n;
    error_code parsed;
    while (in_.size() > 0 && !parsed && !parser_->is_done() && !is_short_end()) {
      in_.consume(parser_->put(in_.data(), parsed));
      if (!parsed && parser_->is_done() && parser_->get().result_int() / 100 == 1)
        expect_reply(false); // 100 Continue and its like: the answer is still to come.
    }
    if (parsed == http::error::need_more)
      parsed = {};
    if (ec == net::error::eof && parser_->got_some() && !parser_->is_done() && !parsed)
      parser_->put_eof(parsed); // A body without length ends with the connection.

    if (parsed == http::error::partial_message)
      broken(ec);
    else if (parsed)
      fail(errc::outcome_unknown, "the answer of " + to_->hub.authority() + " cannot be understood: " + explain(parsed));
    else if (parser_->is_done())
      complete();
    else if (ec)
      broken(ec);
    else
      read();
  }

  /// A chunked body ends with five bytes at least. Beast 1.81 asserts that it never sees fewer once it has seen "0\r\n", and would end the
  /// process because a proxy sent the empty line later.
  bool is_short_end() const { return parser_->is_header_done() && parser_->chunked() && in_.size() < 5; }

  std::string explain(const error_code& parsed) const {
    if (parsed == http::error::body_limit)
      return "its body is larger than " + std::to_string(to_->body_limit) + " bytes";
    if (parsed == http::error::header_limit)
      return "its head is larger than " + std::to_string(head_limit) + " bytes";
    return words(parsed);
  }

  /// The connection ended before the answer did.
  void broken(const error_code& ec) {
    if (!write_ended_) { // How much has left is known when the write ends, which closing brings about.
      read_failure_ = ec;
      error_code ignored;
      socket_.close(ignored);
      return;
    }
    const auto& why = write_failure_ ? write_failure_ : ec;
    const auto hub = to_->hub.authority();
    if (!written_)
      fail(errc::unreachable, "the connection to " + hub + " broke before the request had left: " + words(why));
    else if (in_total_ == 0)
      fail(errc::outcome_unknown, "the connection to " + hub + " ended without an answer: " + words(why));
    else
      fail(errc::outcome_unknown, "the connection to " + hub + " ended within the answer: " + words(why));
  }

  void complete() {
    auto message = parser_->release();
    runtime::http_reply reply;
    reply.status = static_cast<int>(message.result_int());
    reply.content_type = std::string(message[http::field::content_type]);
    reply.location = std::string(message[http::field::location]);
    reply.retry_after_s = seconds_of(message[http::field::retry_after]);
    reply.body = std::move(message.body());
    // An answer that came before the request was out, or with something behind it, leaves the connection in doubt.
    if (message.keep_alive() && !message.need_eof() && written_ && in_.size() == 0) {
      stage_ = stage::idle;
      in_.clear();
      read();
    } else {
      die();
    }
    auto on_reply = std::move(on_reply_);
    on_reply_ = nullptr;
    on_reply(std::move(reply));
  }

  // ---- ending ----------------------------------------------------------------------------------------------------------------------

  void fail(errc code, std::string detail) {
    die();
    if (auto on_reply = std::move(on_reply_); on_reply) {
      on_reply_ = nullptr;
      on_reply(make_error(code, std::move(detail)));
    }
  }

  void die() {
    stage_ = stage::dead;
    error_code ignored;
    socket_.close(ignored);
    resolver_.cancel();
    timer_.cancel();
  }

  net::io_context& io_;
  std::shared_ptr<destination> to_;
  tcp_resolver resolver_;
  tcp_socket socket_;
  std::shared_ptr<tls_context> trust_; // What tls_ was made by.
  certificate_seen seen_;
  std::optional<net::ssl::stream<tcp_socket&>> tls_;
  timer timer_; // Armed while connecting; requests are timed by the slot.
  stage stage_ = stage::closed;

  clock::time_point give_up_at_;
  std::vector<tcp::endpoint> endpoints_;
  std::size_t next_endpoint_ = 0;
  std::string address_; // The one being tried, or connected to.
  std::string tried_;   // Those that failed, and why.
  std::string tunnel_request_;

  handler on_reply_; // Set while an exchange is under way.
  std::string out_;
  bool written_ = false, write_ended_ = false;
  error_code write_failure_, read_failure_;
  boost::beast::flat_buffer in_;
  std::size_t in_total_ = 0; // Bytes of the answer so far.
  std::optional<parser> parser_;
};

} // namespace

std::shared_ptr<http_link> make_http_link(net::io_context& io, std::shared_ptr<destination> to) {
  return std::make_shared<tcp_link>(io, std::move(to));
}

} // namespace sallyport::io

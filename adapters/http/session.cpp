#include "adapters/http/settings.hpp"

#include "adapters/http/core/plan.hpp"
#include "runtime/io/tls_context.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>

namespace sallyport::adapters::http {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using net::ip::tcp;
using clock = std::chrono::steady_clock;
using wire::effect_state;
using wire::failure_scope;

std::string words(const error_code& ec) {
  return ec == net::error::eof || ec == net::ssl::error::stream_truncated ? "the service closed the connection" : ec.message();
}

/// Thrown inside this file: how an exchange ended without an answer.
struct trouble {
  failure what;
  bool nothing_sent = false; // On a kept connection: it may have been dead already.
};

/// One connection to the service, kept from job to job. Blocks its worker, but every wait has an end: the deadline or the cancel signal.
class http_adapter final : public adapter {
public:
  http_adapter(const settings& s, const address& to) : settings_(s), to_(to), resolver_(io_), timer_(io_), socket_(io_) {
    if (!to_.tls)
      return;
    auto made = io::tls_context::make({.ca_file = s.ca_file, .server_name = s.server_name}, to_.host);
    if (!made)
      throw std::runtime_error("http adapter: " + made.err().detail);
    tls_context_ = std::move(*made);
  }

  ~http_adapter() override { disconnect(); }

  probe_result probe() override {
    begin(nullptr, settings_.connect_timeout);
    try {
      if (settings_.probe_path.empty()) {
        if (!is_alive())
          connect();
        return {wire::reach::up, {}};
      }
      request r{.method = "GET", .path = settings_.probe_path, .headers = {}, .body = {}};
      const auto answer = exchange(r);
      if (answer.status < 500)
        return {wire::reach::up, {}};
      return {wire::reach::down, "GET " + settings_.probe_path + " answered " + std::to_string(answer.status)};
    } catch (const trouble& t) {
      disconnect();
      return {wire::reach::down, failed(t.what).error};
    }
  }

  std::vector<outcome> perform(const std::vector<job>& jobs) override {
    std::vector<outcome> outcomes;
    outcomes.reserve(jobs.size());
    const auto began = clock::now();
    for (const auto& j : jobs)
      outcomes.push_back(perform(j, began + j.time_left));
    return outcomes;
  }

private:
  using parser = beast::http::response_parser<beast::http::string_body>;

  outcome perform(const job& j, clock::time_point deadline) {
    if (const auto why = j.cancelled(); why != cancel_reason::none)
      return stopped(why, effect_state::none);
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock::now());
    if (left <= milliseconds::zero())
      return stopped(cancel_reason::attempt_timeout, effect_state::none);
    auto planned = plan(settings_, j);
    if (auto* f = std::get_if<failure>(&planned))
      return failed(std::move(*f));
    const auto& r = std::get<request>(planned);
    begin(j.cancel.get(), left);
    const hook_guard hook{j.cancel.get(), *this};
    const auto what = r.method + ' ' + r.path.substr(0, r.path.find('?')) + " at " + to_.authority();
    try {
      const auto now = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
      return classify(settings_, exchange(r), what, now);
    } catch (const trouble& t) {
      disconnect();
      if (const auto why = j.cancelled(); why != cancel_reason::none)
        return stopped(why, t.what.effect);
      auto f = t.what;
      f.error = what + ": " + f.error;
      return failed(std::move(f));
    }
  }

  // ---- waiting -------------------------------------------------------------------------------------------------------------------

  /// While it lives, the job's signal closes the socket, by way of our own thread.
  class hook_guard {
  public:
    hook_guard(cancel_signal* signal, http_adapter& self) : signal_(signal) {
      if (signal_)
        signal_->set_hook(
          [&self] { net::post(self.io_, [&self, exchange = self.exchange_.load()] { self.on_cancel(exchange); }); });
    }
    ~hook_guard() {
      if (signal_)
        signal_->clear_hook();
    }
    hook_guard(const hook_guard&) = delete;
    hook_guard& operator=(const hook_guard&) = delete;

  private:
    cancel_signal* signal_;
  };

  void begin(cancel_signal*, milliseconds limit) {
    ++exchange_; // A cancel of the job before, still on its way, is for nobody now.
    cancelled_ = false;
    deadline_ = clock::now() + limit;
  }

  void on_cancel(std::uint64_t exchange) {
    if (exchange != exchange_)
      return;
    cancelled_ = true;
    timer_.cancel();
    resolver_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

  /// Runs one asynchronous operation to its end, to the limit, or to the cancel: then with operation_aborted or timed_out. `start` gets a
  /// handler that holds what it writes into, because a name look-up cannot be called back.
  template <class Start>
  error_code await(clock::time_point limit, Start&& start) {
    if (cancelled_)
      return net::error::operation_aborted;
    auto ended = std::make_shared<std::optional<error_code>>();
    auto timed_out = false;
    timer_.expires_at(limit);
    timer_.async_wait([this, &timed_out, waiting = std::weak_ptr(ended)](const error_code& ec) {
      if (ec || waiting.expired())
        return;
      timed_out = true;
      resolver_.cancel();
      error_code ignored;
      socket_.close(ignored);
    });
    start([ended](const error_code& ec) { *ended = ec; });
    io_.restart();
    // A resolver goes on until the system lets it; everything else is ended by closing the socket.
    while (!*ended && !(resolving_ && (timed_out || cancelled_)))
      io_.run_one();
    const auto ec = *ended ? **ended : error_code{net::error::operation_aborted};
    timer_.cancel();
    io_.poll(); // The timer's handler, which knows this frame.
    if (cancelled_)
      return net::error::operation_aborted;
    return timed_out ? error_code{net::error::timed_out} : ec;
  }

  clock::time_point connect_limit() const { return std::min(deadline_, clock::now() + settings_.connect_timeout); }

  static trouble unreachable(const std::string& why) {
    return {{.error = why, .scope = failure_scope::target, .effect = effect_state::none}};
  }

  // ---- connecting ----------------------------------------------------------------------------------------------------------------

  void connect() {
    disconnect();
    const auto limit = connect_limit();
    auto found = std::make_shared<tcp::resolver::results_type>();
    resolving_ = true;
    auto ec = await(limit, [&](auto on_end) {
      resolver_.async_resolve(to_.host, std::to_string(to_.port), tcp::resolver::numeric_service,
                              [on_end, found](const error_code& e, tcp::resolver::results_type r) {
                                *found = std::move(r);
                                on_end(e);
                              });
    });
    resolving_ = false;
    if (ec)
      throw unreachable("the name " + to_.host + " cannot be looked up: " + words(ec));
    ec = await(limit, [&](auto on_end) {
      net::async_connect(socket_, *found, [on_end, found](const error_code& e, const tcp::endpoint&) { on_end(e); });
    });
    if (ec)
      throw unreachable("cannot connect to " + to_.authority() + ": " + words(ec));
    const int on = 1, silence_ms = 20'000;
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof silence_ms);
    if (tls_context_)
      shake_hands(limit);
    used_at_ = clock::now();
  }

  void shake_hands(clock::time_point limit) {
    tls_context_ = io::tls_context::renewed(tls_context_); // The CA file may have been replaced.
    seen_ = {};
    tls_.emplace(socket_, tls_context_->make_ssl(seen_));
    const auto ec = await(limit, [&](auto on_end) { tls_->async_handshake(net::ssl::stream_base::client, on_end); });
    if (!ec)
      return;
    if (seen_.reason == 0)
      throw unreachable("the TLS handshake with " + to_.authority() + " failed: " + words(ec));
    throw unreachable("the certificate of " + to_.authority() + " is not accepted: " + X509_verify_cert_error_string(seen_.reason)
                      + "; saw subject \"" + seen_.subject + "\", names \"" + seen_.names + "\", issuer \"" + seen_.issuer
                      + "\", valid " + seen_.valid);
  }

  void disconnect() {
    if (tls_) // Else OpenSSL takes a closing without farewell for an attack, and forgets the session that would be resumed.
      SSL_set_shutdown(tls_->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    tls_.reset();
    error_code ignored;
    socket_.close(ignored);
    socket_ = tcp::socket{io_};
    in_.clear();
  }

  /// May the kept connection be used once more? What came while nobody had asked, be it the end or data, says no.
  bool is_alive() {
    if (!socket_.is_open() || clock::now() - used_at_ > settings_.idle_timeout)
      return false;
    pollfd fd{socket_.native_handle(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 0;
  }

  // ---- exchanging ----------------------------------------------------------------------------------------------------------------

  reply exchange(const request& r) {
    const auto kept = is_alive();
    if (!kept)
      connect();
    try {
      return exchange_once(r);
    } catch (const trouble& t) {
      if (!kept || !t.nothing_sent || cancelled_)
        throw;
    }
    connect(); // The service had closed it, and nothing of the request has left: once more is safe.
    return exchange_once(r);
  }

  std::string head_of(const request& r) const {
    auto head = r.method + ' ' + to_.prefix + r.path + " HTTP/1.1\r\nHost: " + to_.host_header + "\r\nUser-Agent: sallyport\r\n";
    for (const auto& [name, value] : r.headers)
      head += name + ": " + value + "\r\n";
    if (r.has_body || r.method == "POST" || r.method == "PUT" || r.method == "PATCH")
      head += "Content-Length: " + std::to_string(r.body.size()) + "\r\n";
    return head + "\r\n";
  }

  reply exchange_once(const request& r) {
    send(head_of(r) + r.body);
    std::optional<parser> p;
    expect(p, r);
    std::size_t received = 0;
    auto left_out = false;
    while (true) {
      auto ended = false;
      received += receive(ended, received);
      error_code ec;
      // A chunked body ends with five bytes at least. Beast 1.81 asserts that it never sees fewer once it has seen "0\r\n", and would end
      // the agent because a service sent the empty line later.
      const auto is_short_end = [&] { return p->is_header_done() && p->chunked() && in_.size() < 5; };
      while (in_.size() > 0 && !ec && !p->is_done() && !is_short_end()) {
        in_.consume(p->put(in_.data(), ec));
        if (!ec && p->is_done() && p->get().result_int() / 100 == 1 && p->get().result_int() != 101)
          expect(p, r); // 100 Continue and its like: the answer is still to come.
      }
      if (ec == beast::http::error::need_more)
        ec = {};
      if (ended && !ec && !p->is_done()) {
        if (!p->got_some())
          throw trouble{{.error = "the connection ended without an answer"}};
        p->put_eof(ec); // A body without length ends with the connection; anything else is cut short.
      }
      if (ec == beast::http::error::body_limit) {
        left_out = true;
        break;
      }
      if (ec == beast::http::error::partial_message)
        throw trouble{{.error = "the connection ended within the answer"}};
      if (ec)
        throw trouble{{.error = "the answer cannot be understood: " + ec.message()}};
      if (p->is_done())
        break;
    }
    return take(*p, left_out);
  }

  void expect(std::optional<parser>& p, const request& r) const {
    p.emplace();
    p->eager(true);
    p->skip(r.method == "HEAD");
    p->header_limit(64 << 10);
    p->body_limit(settings_.response_bytes_max);
  }

  void send(const std::string& bytes) {
    std::size_t sent = 0;
    const auto ec = await(deadline_, [&](auto on_end) {
      const auto done = [on_end, &sent](const error_code& e, std::size_t n) {
        sent = n;
        on_end(e);
      };
      if (tls_)
        net::async_write(*tls_, net::buffer(bytes), done);
      else
        net::async_write(socket_, net::buffer(bytes), done);
    });
    if (!ec)
      return;
    // A request of which a part is missing cannot have been carried out.
    throw trouble{{.error = "the connection broke before the request had left: " + words(ec),
                   .scope = failure_scope::target,
                   .effect = effect_state::none},
                  sent == 0};
  }

  std::size_t receive(bool& ended, std::size_t before) {
    std::size_t received = 0;
    const auto ec = await(deadline_, [&](auto on_end) {
      const auto done = [on_end, &received](const error_code& e, std::size_t n) {
        received = n;
        on_end(e);
      };
      constexpr std::size_t read_size = 32 << 10;
      if (tls_)
        tls_->async_read_some(in_.prepare(read_size), done);
      else
        socket_.async_read_some(in_.prepare(read_size), done);
    });
    in_.commit(received);
    if (ec == net::error::eof || ec == net::ssl::error::stream_truncated) {
      ended = true;
    } else if (ec == net::error::timed_out) {
      throw trouble{{.error = before == 0 ? "no answer came in time" : "the answer did not end in time"}};
    } else if (ec) {
      throw trouble{{.error = "the connection broke before the answer was there: " + words(ec)}};
    }
    return received;
  }

  reply take(parser& p, bool left_out) {
    auto& message = p.get();
    reply answer{.status = static_cast<int>(message.result_int()), .headers = {}, .body = {}, .body_left_out = left_out};
    for (const auto& field : message)
      answer.headers.emplace_back(lower({field.name_string().data(), field.name_string().size()}),
                                  std::string{field.value().data(), field.value().size()});
    if (!left_out)
      answer.body = std::move(message.body());
    const auto reusable =
      p.is_done() && message.keep_alive() && !message.need_eof() && in_.size() == 0 && !left_out && answer.status >= 200;
    if (reusable)
      used_at_ = clock::now();
    else
      disconnect();
    return answer;
  }

  const settings settings_;
  const address to_;
  std::shared_ptr<io::tls_context> tls_context_; // Outlives the streams made with it.
  net::io_context io_{1};
  tcp::resolver resolver_;
  net::steady_timer timer_;
  tcp::socket socket_;
  io::certificate_seen seen_;
  std::optional<net::ssl::stream<tcp::socket&>> tls_;
  beast::flat_buffer in_;
  clock::time_point deadline_{}, used_at_{};
  std::atomic<std::uint64_t> exchange_{0};
  bool cancelled_ = false, resolving_ = false;
};

} // namespace

result<void> check(const settings& s) {
  std::string faults;
  const auto fault = [&faults](const std::string& text) { faults += text + '\n'; };
  const auto to = parse_url(s.url);
  if (!to)
    fault(to.err().detail);
  if (s.methods.empty() && s.path.empty())
    fault("methods is empty: the adapter would have nothing to do");
  for (const auto& method : s.methods)
    if (!is_token(method) || method == "CONNECT" || method == "TRACE")
      fault("methods: '" + method + "' is not a method that can be allowed");
  if (s.path_prefixes.empty() && s.path.empty())
    fault("path_prefixes is empty: the adapter would have nothing to do");
  for (const auto& prefix : s.path_prefixes)
    if (auto wrong = fault_of_path(prefix); !wrong.empty() || prefix.find('?') != std::string::npos)
      fault("path_prefixes: '" + prefix + "' " + (wrong.empty() ? "holds a query" : wrong));
  for (const auto* path : {&s.path, &s.probe_path})
    if (!path->empty())
      if (auto wrong = fault_of_path(*path); !wrong.empty())
        fault((path == &s.path ? "path " : "probe_path ") + wrong);
  if (!is_token(s.method) || s.method == "CONNECT" || s.method == "TRACE")
    fault("method '" + s.method + "' is not a method that can be used");
  for (const auto& name : s.request_headers)
    if (!is_token(name) || is_reserved_header(lower(name)) || lower(name) == "authorization")
      fault("request_headers: events may not set '" + name + "'");
  for (const auto& [name, value] : s.headers)
    if (!is_token(name) || is_reserved_header(lower(name)) || !is_header_value(value)) // The value may be secret.
      fault("headers: '" + name + "' cannot be sent: its name is not allowed, or its value is not one line");
  if (!s.bearer_token.empty() && !s.user.empty())
    fault("bearer_token and user exclude each other");
  if (!is_header_value(s.bearer_token))
    fault("bearer_token is not one line");
  if (s.user.find(':') != std::string::npos)
    fault("user must not hold a colon");
  if (s.connect_timeout <= milliseconds::zero())
    fault("connect_timeout must be more than 0");
  if (s.response_bytes_max > 16 << 20)
    fault("response_bytes_max must be at most 16 MiB; a result holds 256 KiB");
  if (s.workers == 0 || s.workers > 64)
    fault("workers must be 1 to 64");
  if (to && to->tls)
    if (auto made = io::tls_context::make({.ca_file = s.ca_file, .server_name = s.server_name}, to->host); !made)
      fault(made.err().detail);
  return faults.empty() ? result<void>{} : result<void>{errc::invalid_config, faults.substr(0, faults.size() - 1)};
}

factory make_factory(const settings& s) {
  const auto parsed = parse_url(s.url);
  SALLYPORT_ASSERT(parsed.ok()); // check() comes first.
  return {{.kind = "http",
           .effect = wire::effect_promise::at_least_once,
           .fingerprint = parsed->fingerprint(),
           .batch_max = 1,
           .workers = s.workers},
          [s, to = *parsed]() -> std::unique_ptr<adapter> { return std::make_unique<http_adapter>(s, to); }};
}

} // namespace sallyport::adapters::http

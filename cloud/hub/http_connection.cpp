#include "cloud/hub/http_connection.hpp"

#include "cloud/hub/http_chunks.hpp"
#include "cloud/hub/http_request.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/status.hpp>

#include <algorithm>
#include <ctime>

namespace sallyport::cloud {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using steady = std::chrono::steady_clock;
using boost::system::error_code;
using tls_stream = asio::ssl::stream<socket_type>;

constexpr std::size_t read_bytes = 4096;           // At once, while a head is expected: connections are many and mostly idle.
constexpr std::size_t body_step_bytes = 256 << 10; // A body's memory grows with what has come, not with what was announced.
constexpr std::size_t discard_bytes = 1 << 20; // Read and dropped at most, so that a client still sending can read our refusal.
constexpr milliseconds linger{2'000};

/// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second and thread.
const std::string& date() {
  thread_local std::time_t made_at = 0;
  thread_local std::string text;
  if (const auto now = std::time(nullptr); now != made_at) {
    made_at = now;
    std::tm tm{};
    gmtime_r(&now, &tm);
    char buffer[40];
    text.assign(buffer, std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &tm));
  }
  return text;
}

template <class Stream>
class connection final : public connection_handle, public std::enable_shared_from_this<connection<Stream>> {
  static constexpr bool is_tls = std::is_same_v<Stream, tls_stream>;
  using timer = asio::basic_waitable_timer<steady, asio::wait_traits<steady>, lane_executor>;

  enum class state : std::uint8_t { handshake, head, body, discarding, answering, writing, lingering, closed };

public:
  template <class... Args>
  connection(std::shared_ptr<connection_shared> shared, bool over_limit, Args&&... args)
    : shared_(std::move(shared)),
      limits_(shared_->limits),
      stream_(std::forward<Args>(args)...),
      timer_(stream_.get_executor()),
      over_limit_(over_limit) {}
  ~connection() override { shared_->leave(this); }

  void start() {
    shared_->enter(this, this->weak_from_this());
    asio::dispatch(stream_.get_executor(), [self = this->shared_from_this()] {
      self->until(self->limits_.request_timeout);
      self->watch_deadline();
      if constexpr (is_tls)
        self->stream_.async_handshake(asio::ssl::stream_base::server,
                                      [self](error_code ec) { ec ? self->close() : self->next_request(); });
      else
        self->next_request();
    });
  }
  void stop_soon() override {
    asio::dispatch(stream_.get_executor(), [self = this->shared_from_this()] {
      if (self->state_ == state::head && self->in_.size() == 0)
        self->close();
    });
  }
  void cut() override {
    asio::dispatch(stream_.get_executor(), [self = this->shared_from_this()] { self->close(); });
  }

private:
  socket_type& socket() {
    if constexpr (is_tls)
      return stream_.next_layer();
    else
      return stream_;
  }

  // ---- deadlines ---------------------------------------------------------------------------------------------------------------

  // The timer is not moved with each deadline, which would cost more than the request; it looks now and then what has become of it.
  void until(milliseconds from_now) {
    deadline_ = steady::now() + from_now;
    if (deadline_ < looks_at_)
      timer_.cancel(); // Looks at once, and sets itself anew.
  }

  void watch_deadline() {
    looks_at_ = std::min<steady::time_point>(deadline_, steady::now() + limits_.request_timeout);
    timer_.expires_at(looks_at_);
    timer_.async_wait([self = this->shared_from_this()](error_code) {
      if (self->state_ == state::closed)
        return;
      if (steady::now() >= self->deadline_)
        self->on_deadline();
      if (self->state_ != state::closed)
        self->watch_deadline();
    });
  }

  void on_deadline() {
    switch (state_) {
      case state::head:
        if (in_.size() == 0)
          return close();
        [[fallthrough]];
      case state::body:
      case state::discarding:
        return refuse(make_error(errc::request_timeout, "it must be whole " + std::to_string(limits_.request_timeout.count())
                                                          + " ms after its first byte"));
      case state::answering:
        shared_->front.cancel(running_);
        ++serial_;
        return refuse(make_error(errc::outcome_unknown, "the hub did not come to an answer in time"));
      default: return close();
    }
  }

  // ---- reading a head ------------------------------------------------------------------------------------------------------------

  void next_request() {
    state_ = state::head;
    keep_alive_ = true;
    is_1_0_ = is_head_ = false;
    if (shared_->stopping && in_.size() == 0)
      return close();
    if (in_.size() == 0 && in_.capacity() > read_bytes && !reading_)
      in_.shrink_to_fit();
    until(in_.size() == 0 ? limits_.idle_timeout : limits_.request_timeout);
    scanned_ = 0;
    read_head();
  }

  void read_head() {
    std::string_view seen{static_cast<const char*>(in_.data().data()), in_.size()};
    if (scanned_ == 0 && seen.substr(0, 2) == "\r\n") { // RFC 9112, 2.2: one empty line before a request is overlooked.
      in_.consume(2);
      seen.remove_prefix(2);
    }
    const auto end = seen.find("\r\n\r\n", scanned_ > 3 ? scanned_ - 3 : 0);
    if (end != seen.npos && end + 4 <= limits_.head_bytes)
      return on_head(seen.substr(0, end + 4));
    if (seen.size() >= limits_.head_bytes)
      return refuse(make_error(errc::header_too_large, "at most " + std::to_string(limits_.head_bytes) + " bytes"));
    scanned_ = seen.size();
    if (eof_)
      return close();
    read_more();
  }

  /// One read at a time. The one that watches a parked request's socket is still under way when its answer is written; it is begun on
  /// an empty buffer only, because consuming would move the buffer under it.
  void read_more() {
    if (reading_)
      return;
    reading_ = true;
    const auto at_once = state_ == state::body ? 16 * read_bytes : read_bytes;
    stream_.async_read_some(in_.prepare(at_once), [self = this->shared_from_this()](error_code ec, std::size_t n) {
      self->reading_ = false;
      self->on_read(ec, n);
    });
  }

  void on_read(error_code ec, std::size_t n) {
    if (state_ == state::closed)
      return;
    const bool first = in_.size() == 0;
    in_.commit(n);
    if (ec) {
      eof_ = true;
      if (state_ == state::answering)
        asker_gone();
      else if (state_ != state::writing) // There the write finds out, or has got through.
        close();
      return;
    }
    switch (state_) {
      case state::head:
        if (first)
          until(limits_.request_timeout);
        return read_head();
      case state::body: return read_chunks();
      case state::discarding: return discard_body();
      default: return; // The next request, early: it has its turn.
    }
  }

  void on_head(std::string_view head) {
    if (auto read = request_.read_head(head); !read)
      return refuse(read.err());
    in_.consume(head.size());

    keep_alive_ = request_.keep_alive();
    is_1_0_ = request_.is_1_0();
    const auto asked = request_.asked();
    is_head_ = asked.method == "HEAD";
    if (over_limit_)
      return refuse(make_error(errc::too_many_requests, "the hub has as many connections as it may"));
    auto judged = shared_->front.admit(asked);
    const bool chunked = request_.is_chunked();
    const auto length = request_.content_length().value_or(0);
    const bool expects = request_.expects_continue();

    if (auto* refused = std::get_if<api_response>(&judged)) {
      // What comes after the head is read and dropped, so that the connection can go on, if it is little and surely coming.
      if (chunked || length > discard_bytes / 16 || (expects && length > 0))
        return respond(std::move(*refused), false);
      refused_ = std::move(*refused);
      to_discard_ = length;
      state_ = state::discarding;
      return discard_body();
    }
    admitted_ = std::move(std::get<admission>(judged));
    const auto body = admitted_.via->body;
    if (body != body_kind::none && body != body_kind::json_opt && !chunked && !request_.content_length())
      return refuse(make_error(errc::length_required, "a body is expected here"));
    if (length > admitted_.body_limit)
      return refuse(body_too_large(admitted_.body_limit));
    state_ = state::body;
    body_.clear();
    if (expects && !is_1_0_ && in_.size() == 0 && (chunked || length > 0))
      return tell_to_continue();
    read_body();
  }

  // ---- reading a body ------------------------------------------------------------------------------------------------------------

  void tell_to_continue() {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(go_on), [self = this->shared_from_this()](error_code ec, std::size_t) {
      if (self->state_ != state::body)
        return;
      ec ? self->close() : self->read_body();
    });
  }

  void read_body() {
    if (request_.is_chunked()) {
      request_.begin_chunks(admitted_.body_limit, limits_.head_bytes);
      return read_chunks();
    }
    expected_ = static_cast<std::size_t>(request_.content_length().value_or(0));
    body_.reserve(expected_);
    const auto here = std::min(expected_, in_.size());
    body_.assign(static_cast<const char*>(in_.data().data()), here);
    in_.consume(here);
    read_plain();
  }

  void read_plain() {
    const auto have = body_.size();
    if (have == expected_)
      return on_request();
    body_.resize(have + std::min(expected_ - have, body_step_bytes));
    stream_.async_read_some(asio::buffer(body_.data() + have, body_.size() - have),
                            [self = this->shared_from_this(), have](error_code ec, std::size_t n) {
                              if (self->state_ != state::body)
                                return;
                              if (ec)
                                return self->close();
                              self->body_.resize(have + n);
                              self->read_plain();
                            });
  }

  void read_chunks() {
    const auto used = request_.read_chunks({static_cast<const char*>(in_.data().data()), in_.size()});
    if (!used)
      return refuse(used.err());
    in_.consume(*used);
    if (!request_.is_done())
      return eof_ ? close() : read_more();
    body_ = request_.take_body();
    on_request();
  }

  void discard_body() {
    const auto here = std::min(to_discard_, in_.size());
    in_.consume(here);
    to_discard_ -= here;
    if (to_discard_ == 0)
      return respond(std::move(refused_), true);
    if (eof_)
      return close();
    read_more();
  }

  // ---- answering -----------------------------------------------------------------------------------------------------------------

  void on_request() {
    state_ = state::answering;
    waits_ = admitted_.via->waits;
    until(shared_->answer_timeout + (waits_ ? shared_->front.longest_wait() : milliseconds{0}));
    const auto serial = ++serial_;
    running_ = {};
    request_.reset();
    auto weak = this->weak_from_this();
    const auto running = shared_->front.run(std::move(admitted_), std::move(body_), [weak, serial](api_response r) {
      auto self = weak.lock();
      if (!self)
        return;
      asio::dispatch(self->stream_.get_executor(), [self, serial, r = std::move(r)]() mutable {
        if (self->state_ == state::answering && self->serial_ == serial)
          self->respond(std::move(r), true);
      });
    });
    if (state_ != state::answering || serial_ != serial)
      return; // Answered already.
    running_ = running;
    if (waits_ && in_.size() == 0)
      read_more(); // Only to notice when the asker goes.
  }

  void asker_gone() {
    if (!waits_)
      return; // The answer tries its luck: the client may have closed only its own half.
    close();
  }

  void refuse(const error& e) {
    shared_->meter.refused(to_string(e.code));
    respond(to_response(e), false);
  }

  void respond(api_response r, bool framing_is_sound) {
    state_ = state::writing;
    until(limits_.idle_timeout);
    request_.reset();
    goes_on_ = framing_is_sound && keep_alive_ && !eof_ && !shared_->stopping;
    lingers_ = !framing_is_sound;
    write_head(r);
    out_body_ = is_head_ ? std::string{} : std::move(r.body);
    if (is_tls && out_body_.size() <= 16 << 10) { // One TLS record and one segment instead of two.
      out_head_ += out_body_;
      out_body_.clear();
    }
    const std::array<asio::const_buffer, 2> out{asio::buffer(out_head_), asio::buffer(out_body_)};
    asio::async_write(stream_, out, [self = this->shared_from_this()](error_code ec, std::size_t) {
      if (self->state_ != state::writing)
        return;
      self->out_body_ = {};
      if (ec)
        self->close();
      else if (self->goes_on_ && !self->eof_)
        self->next_request();
      else
        self->say_goodbye();
    });
  }

  void write_head(const api_response& r) {
    auto& h = out_head_;
    h.assign("HTTP/1.1 ").append(std::to_string(r.status)).append(" ");
    const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(r.status)));
    h.append(reason.data(), reason.size());
    h.append("\r\nDate: ").append(date());
    h.append("\r\nContent-Type: ").append(r.content_type);
    h.append("\r\nContent-Length: ").append(std::to_string(r.body.size()));
    for (const auto& [name, value] : r.headers)
      h.append("\r\n").append(name).append(": ").append(value);
    if (!goes_on_)
      h.append("\r\nConnection: close");
    else if (is_1_0_)
      h.append("\r\nConnection: keep-alive");
    h.append("\r\n\r\n");
  }

  // ---- ending --------------------------------------------------------------------------------------------------------------------

  void say_goodbye() {
    state_ = state::lingering;
    until(linger);
    if constexpr (is_tls) {
      if (!reading_) // Two readers of one TLS stream would mix up its records.
        return stream_.async_shutdown([self = this->shared_from_this()](error_code) { self->half_close(); });
    }
    half_close();
  }

  void half_close() {
    if (state_ != state::lingering)
      return;
    error_code ignored;
    socket().shutdown(asio::socket_base::shutdown_send, ignored);
    if (!lingers_ || reading_)
      return close();
    discarded_ = 0;
    discard_rest();
  }

  // Closing with unread bytes sends a reset, which may overtake the refusal that the client is to read.
  void discard_rest() {
    socket().async_read_some(in_.prepare(read_bytes), [self = this->shared_from_this()](error_code ec, std::size_t n) {
      self->discarded_ += n;
      if (ec || self->state_ != state::lingering || self->discarded_ > discard_bytes)
        return self->close();
      self->discard_rest();
    });
  }

  void close() {
    if (state_ == state::closed)
      return;
    if (state_ == state::answering && waits_)
      shared_->front.cancel(running_);
    state_ = state::closed;
    ++serial_;
    error_code ignored;
    socket().close(ignored);
    timer_.cancel();
  }

  const std::shared_ptr<connection_shared> shared_;
  const config::hub_limits& limits_;
  Stream stream_;
  timer timer_;
  const bool over_limit_;
  state state_ = state::handshake;
  steady::time_point deadline_{}, looks_at_{};

  boost::beast::flat_buffer in_; // What was read and not yet used: a head, chunks, the next request.
  std::size_t scanned_ = 0;
  bool reading_ = false, eof_ = false;

  request_reader request_; // From the head to the end of the body.
  bool keep_alive_ = true, is_1_0_ = false, is_head_ = false;
  admission admitted_;
  api_response refused_;
  std::size_t to_discard_ = 0, expected_ = 0, discarded_ = 0;
  std::string body_;

  std::uint64_t serial_ = 0; // Of the request being answered: a late answer to an earlier one is dropped.
  ticket running_;
  bool waits_ = false, goes_on_ = false, lingers_ = false;
  std::string out_head_, out_body_;
};

} // namespace

void start_connection(std::shared_ptr<connection_shared> shared, socket_type socket, asio::ssl::context* tls, bool over_limit) {
  if (tls)
    std::make_shared<connection<tls_stream>>(std::move(shared), over_limit, std::move(socket), *tls)->start();
  else
    std::make_shared<connection<socket_type>>(std::move(shared), over_limit, std::move(socket))->start();
}

} // namespace sallyport::cloud

#include "tests/chaos/links.hpp"

#include <boost/asio.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <future>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace sallyport::chaos {

namespace asio = boost::asio;
using asio::ip::tcp;
using steady = std::chrono::steady_clock;
using boost::system::error_code;

namespace {

constexpr std::size_t piece_bytes = 16 * 1024;
constexpr std::size_t held_max = 256 * 1024; // Per direction; then nothing more is read, as with a full window.

struct link;

/// One connection through a link, which owns it until it is closed; io thread only.
class passing : public std::enable_shared_from_this<passing> {
public:
  passing(link& l, tcp::socket client);

  void start(); // Connects to the server, as soon as the weather lets a connection through.
  void weather_changed();
  void reset();

private:
  struct piece {
    steady::time_point due;
    std::string bytes;
    bool end = false; // The sender has closed its direction.
  };
  struct direction {
    tcp::socket *from, *to;
    asio::steady_timer timer;
    std::deque<piece> pieces{};
    std::size_t held = 0, sent = 0; // sent: of the first piece.
    bool reading = false, writing = false, ended = false, delivered_end = false;
    std::array<char, piece_bytes> buffer{};
  };

  [[nodiscard]] passage fate(const direction& d) const;
  void read(direction& d);
  void write(direction& d);
  void swallow(direction& d);

  link& link_;
  tcp::socket client_, server_;
  direction requests_, answers_;
  bool connecting_ = false, connected_ = false, closed_ = false;
  bool torn_ = false; // Bytes are missing from it.
};

struct link {
  link(asio::io_context& io, std::uint16_t to, std::uint64_t seed, std::atomic<std::uint64_t>& counted)
    : acceptor(io, {asio::ip::address_v4::loopback(), 0}),
      server(asio::ip::address_v4::loopback(), to),
      random(seed),
      resets(counted) {}

  void accept() {
    acceptor.async_accept([this](error_code ec, tcp::socket client) {
      if (ec == asio::error::operation_aborted)
        return;
      if (!ec) {
        auto one = std::make_shared<passing>(*this, std::move(client));
        if (now.refuses) {
          one->reset();
        } else {
          open.insert(one);
          one->start();
        }
      }
      accept();
    });
  }
  [[nodiscard]] bool happens(double chance) { return chance > 0 && std::uniform_real_distribution<>(0, 1)(random) < chance; }

  tcp::acceptor acceptor;
  tcp::endpoint server;
  weather now;
  std::mt19937_64 random;
  std::set<std::shared_ptr<passing>> open; // They leave it when they are closed.
  std::atomic<std::uint64_t>& resets;
};

passing::passing(link& l, tcp::socket client)
  : link_(l),
    client_(std::move(client)),
    server_(client_.get_executor()),
    requests_{&client_, &server_, asio::steady_timer(client_.get_executor())},
    answers_{&server_, &client_, asio::steady_timer(client_.get_executor())} {
  error_code ignored;
  client_.set_option(tcp::no_delay(true), ignored);
}

passage passing::fate(const direction& d) const {
  return &d == &requests_ ? link_.now.requests : link_.now.answers;
}

void passing::start() {
  if (connecting_ || connected_ || closed_ || link_.now.requests != passage::open)
    return;
  connecting_ = true;
  server_.async_connect(link_.server, [self = shared_from_this()](error_code ec) {
    self->connecting_ = false;
    if (self->closed_)
      return;
    error_code ignored;
    // Nobody listens there; or worse, the socket has met itself, as happens sooner or later when one address connects again and again to
    // a port where nobody listens. That would keep the server from its port.
    if (ec || self->server_.local_endpoint(ignored) == self->server_.remote_endpoint(ignored))
      return self->reset();
    self->connected_ = true;
    self->server_.set_option(tcp::no_delay(true), ignored);
    self->read(self->requests_);
    self->read(self->answers_);
  });
}

void passing::weather_changed() {
  if (closed_)
    return;
  if (torn_ && link_.now.requests == passage::open && link_.now.answers == passage::open) {
    ++link_.resets;
    return reset();
  }
  if (!connected_)
    return start();
  for (auto* d : {&requests_, &answers_}) {
    if (fate(*d) == passage::swallowed)
      swallow(*d);
    read(*d);
    write(*d);
  }
}

void passing::swallow(direction& d) {
  // What is being written is on its way already.
  while (d.pieces.size() > (d.writing ? 1u : 0u)) {
    torn_ = true;
    d.held -= d.pieces.back().bytes.size();
    d.pieces.pop_back();
  }
}

void passing::read(direction& d) {
  if (closed_ || !connected_ || d.reading || d.ended || d.held >= held_max)
    return;
  d.reading = true;
  d.from->async_read_some(asio::buffer(d.buffer), [self = shared_from_this(), &d](error_code ec, std::size_t n) {
    d.reading = false;
    if (self->closed_)
      return;
    auto& l = self->link_;
    if (ec)
      d.ended = true;
    if (self->fate(d) == passage::swallowed) {
      self->torn_ = true; // The end of a stream is lost like its bytes.
      return self->read(d);
    }
    auto due = steady::now() + l.now.delay;
    if (l.now.jitter.count() > 0)
      due += std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, l.now.jitter.count())(l.random));
    if (!d.pieces.empty())
      due = std::max(due, d.pieces.back().due); // Streams keep their order.
    if (l.now.bytes_per_second != 0)
      due += std::chrono::microseconds(n * 1'000'000 / l.now.bytes_per_second);
    const bool cut = !ec && l.happens(l.now.resets);
    if (cut)
      n /= 2;
    if (n > 0) {
      d.pieces.push_back({due, std::string(d.buffer.data(), n), false});
      d.held += n;
    }
    if (ec)
      d.pieces.push_back({due, {}, true});
    if (cut) { // Half of it arrives, if the other side is quick; then both see a reset.
      error_code ignored;
      d.to->non_blocking(true, ignored);
      d.to->write_some(asio::buffer(d.buffer.data(), d.pieces.size() == 1 && !d.writing ? n : 0), ignored);
      ++l.resets;
      return self->reset();
    }
    self->write(d);
    self->read(d);
  });
}

void passing::write(direction& d) {
  if (closed_ || d.writing || d.pieces.empty() || fate(d) != passage::open)
    return;
  auto& first = d.pieces.front();
  if (first.due > steady::now()) {
    d.timer.expires_at(first.due);
    d.timer.async_wait([self = shared_from_this(), &d](error_code ec) {
      if (!ec)
        self->write(d);
    });
    return;
  }
  if (first.end) {
    error_code ignored;
    d.to->shutdown(tcp::socket::shutdown_send, ignored);
    d.delivered_end = true;
    d.pieces.clear();
    if (requests_.delivered_end || answers_.delivered_end) // Nobody here uses half-closed connections.
      reset();
    return;
  }
  d.writing = true;
  asio::async_write(*d.to, asio::buffer(first.bytes), [self = shared_from_this(), &d](error_code ec, std::size_t) {
    d.writing = false;
    if (self->closed_)
      return;
    if (ec)
      return self->reset();
    d.held -= d.pieces.front().bytes.size();
    d.pieces.pop_front();
    self->write(d);
    self->read(d);
  });
}

void passing::reset() {
  if (closed_)
    return;
  const auto self = shared_from_this(); // Leaving the set may drop the last hold but this.
  closed_ = true;
  link_.open.erase(self);
  error_code ignored;
  requests_.timer.cancel();
  answers_.timer.cancel();
  const bool farewell = requests_.delivered_end || answers_.delivered_end;
  for (auto* s : {&client_, &server_}) {
    if (!farewell)
      s->set_option(asio::socket_base::linger(true, 0), ignored);
    s->close(ignored);
  }
}

} // namespace

struct links::state {
  explicit state(std::uint64_t s) : seed(s), work(asio::make_work_guard(io)), thread([this] { io.run(); }) {}

  std::uint64_t seed;
  std::atomic<std::uint64_t> resets{0};
  asio::io_context io{1};
  std::map<std::string, std::unique_ptr<link>> all; // io thread.
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
};

links::links(std::uint64_t seed) : state_(std::make_unique<state>(seed)) {}

links::~links() {
  asio::post(state_->io, [s = state_.get()] {
    for (auto& [name, l] : s->all) {
      error_code ignored;
      l->acceptor.close(ignored);
      for (auto open = l->open; auto& one : open)
        one->reset();
    }
    s->io.stop();
  });
  state_->thread.join();
}

std::uint16_t links::add(const std::string& name, std::uint16_t port) {
  std::promise<std::uint16_t> made;
  asio::post(state_->io, [&] {
    try {
      auto one = std::make_unique<link>(state_->io, port, state_->seed ^ std::hash<std::string>{}(name), state_->resets);
      one->accept();
      const auto its_port = one->acceptor.local_endpoint().port();
      state_->all[name] = std::move(one);
      made.set_value(its_port);
    } catch (...) {
      made.set_exception(std::current_exception());
    }
  });
  return made.get_future().get();
}

void links::set(const std::string& name, const weather& w) {
  asio::post(state_->io, [s = state_.get(), name, w] {
    auto& l = *s->all.at(name);
    l.now = w;
    for (auto open = l.open; auto& one : open) // A copy: they leave it when they are reset.
      one->weather_changed();
  });
}

std::uint64_t links::resets() const {
  return state_->resets;
}

} // namespace sallyport::chaos

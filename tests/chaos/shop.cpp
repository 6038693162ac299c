#include "tests/chaos/shop.hpp"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <future>
#include <mutex>
#include <random>
#include <set>
#include <thread>

namespace sallyport::chaos {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

struct shop::state {
  state(std::uint64_t seed, int percent)
    : random(seed),
      moody_percent(percent),
      acceptor(io),
      work(asio::make_work_guard(io)),
      thread([this] { io.run(); }) {}

  class customer;

  void listen();
  void accept();
  [[nodiscard]] unsigned serve(const http::request<http::string_body>& r);
  /// Runs it on the io thread, and waits.
  template <class F>
  void there(F f) {
    std::promise<void> done;
    asio::post(io, [&] {
      try {
        f();
        done.set_value();
      } catch (...) {
        done.set_exception(std::current_exception());
      }
    });
    done.get_future().get();
  }

  // io thread
  std::mt19937_64 random;
  int moody_percent;
  bool busy = false;
  std::uint16_t port = 0;
  std::set<customer*> here;
  // any thread
  std::mutex mutex;
  std::vector<order> orders;

  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
};

/// One connection; kept alive by its pending operation.
class shop::state::customer : public std::enable_shared_from_this<customer> {
public:
  customer(state& s, tcp::socket socket) : shop_(s), socket_(std::move(socket)) { shop_.here.insert(this); }

  void read() {
    request_ = {};
    http::async_read(socket_, buffer_, request_, [self = shared_from_this()](error_code ec, std::size_t) {
      if (ec)
        return self->leave();
      self->answer_ = {};
      self->answer_.version(11);
      self->answer_.keep_alive(true);
      self->answer_.result(self->shop_.serve(self->request_));
      if (self->answer_.result_int() == 503)
        self->answer_.set(http::field::retry_after, "1");
      self->answer_.set(http::field::content_type, "application/json");
      self->answer_.body() = "{}";
      self->answer_.prepare_payload();
      http::async_write(self->socket_, self->answer_, [self](error_code ec, std::size_t) {
        if (ec)
          return self->leave();
        self->read();
      });
    });
  }
  void leave() {
    error_code ignored;
    socket_.close(ignored);
    shop_.here.erase(this);
  }

private:
  state& shop_;
  tcp::socket socket_;
  beast::flat_buffer buffer_;
  http::request<http::string_body> request_;
  http::response<http::string_body> answer_;
};

void shop::state::listen() {
  const tcp::endpoint where(asio::ip::address_v4::loopback(), port);
  acceptor.open(where.protocol());
  acceptor.set_option(asio::socket_base::reuse_address(true));
  acceptor.bind(where);
  acceptor.listen();
  port = acceptor.local_endpoint().port();
  accept();
}

void shop::state::accept() {
  acceptor.async_accept([this](error_code ec, tcp::socket socket) {
    if (!acceptor.is_open())
      return;
    if (!ec) {
      socket.set_option(tcp::no_delay(true), ec);
      std::make_shared<customer>(*this, std::move(socket))->read();
    }
    accept();
  });
}

unsigned shop::state::serve(const http::request<http::string_body>& r) {
  if (busy)
    return 503;
  constexpr std::string_view mark = "\"id\":\"";
  const auto at = r.body().find(mark);
  if (at == std::string::npos)
    return 400;
  const auto begin = at + mark.size();
  {
    const std::lock_guard lock(mutex);
    orders.push_back({r.body().substr(begin, r.body().find('"', begin) - begin), std::string(r["Idempotency-Key"])});
  }
  return std::uniform_int_distribution<>(0, 99)(random) < moody_percent ? 500 : 200;
}

shop::shop(std::uint64_t seed, int moody_percent) : state_(std::make_unique<state>(seed, moody_percent)) {
  open();
}

shop::~shop() {
  close();
  state_->io.stop();
  state_->thread.join();
}

std::uint16_t shop::port() const {
  return state_->port;
}

void shop::close() {
  state_->there([s = state_.get()] {
    error_code ignored;
    s->acceptor.close(ignored);
    for (auto here = s->here; auto* one : here)
      one->leave();
  });
}

void shop::open() {
  state_->there([s = state_.get()] {
    // A client's own port may be ours for a moment.
    for (int tries = 0; !s->acceptor.is_open(); ++tries)
      try {
        s->listen();
      } catch (const boost::system::system_error&) {
        error_code ignored;
        s->acceptor.close(ignored);
        if (tries == 50)
          throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
  });
}

void shop::be_busy(bool busy) {
  state_->there([s = state_.get(), busy] { s->busy = busy; });
}

std::vector<order> shop::take() {
  const std::lock_guard lock(state_->mutex);
  return std::exchange(state_->orders, {});
}

} // namespace sallyport::chaos

// One client connection of the socket server; see server.hpp for its states. Private to cloud/hub: includes Asio.
#pragma once

#include "cloud/hub/api.hpp"
#include "config/hub_settings.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <unordered_map>

namespace sallyport::cloud {

/// Of a context that one thread runs: whatever belongs to a connection happens one after the other.
using lane_executor = boost::asio::io_context::executor_type;
using socket_type = boost::asio::basic_stream_socket<boost::asio::ip::tcp, lane_executor>;

class connection_handle {
public:
  virtual ~connection_handle() = default;
  virtual void stop_soon() = 0; // Any thread: close when idle, else after the answer.
  virtual void cut() = 0;       // Any thread: close now.
};

/// What all connections of a server have in common. Outlives them.
struct connection_shared {
  static constexpr std::uint32_t told_beyond_limit = 64; // Connections over the limit that are told so before they are closed.

  const config::hub_limits limits;
  const milliseconds answer_timeout;
  api& front;
  metrics& meter;
  std::atomic<bool> stopping{false};
  std::atomic<std::uint32_t> open{0};

  connection_shared(const config::hub_limits& l, milliseconds answer, api& f, metrics& m)
    : limits(l),
      answer_timeout(answer),
      front(f),
      meter(m) {}

  void enter(connection_handle* c, std::weak_ptr<connection_handle> handle) {
    std::lock_guard lock{mutex_};
    known_.emplace(c, std::move(handle));
    ++open;
    meter.socket_opened();
  }
  void leave(connection_handle* c) {
    std::lock_guard lock{mutex_};
    known_.erase(c);
    --open;
    meter.socket_closed();
    empty_.notify_all();
  }
  template <class F>
  void each(F f) {
    std::vector<std::shared_ptr<connection_handle>> now;
    {
      std::lock_guard lock{mutex_};
      for (auto& [_, handle] : known_)
        if (auto c = handle.lock())
          now.push_back(std::move(c));
    }
    for (auto& c : now)
      f(*c);
  }
  bool wait_empty(milliseconds within) {
    std::unique_lock lock{mutex_};
    return empty_.wait_for(lock, within, [&] { return known_.empty(); });
  }

private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::unordered_map<connection_handle*, std::weak_ptr<connection_handle>> known_;
};

/// Serves a socket until it ends. `tls` may be null. `over_limit`: answer the first request with too_many_requests, then close.
void start_connection(std::shared_ptr<connection_shared> shared, socket_type socket, boost::asio::ssl::context* tls,
                      bool over_limit);

} // namespace sallyport::cloud

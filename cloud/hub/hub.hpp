// The hub, whole: store, shard, API and, for `hub`, the sockets. Started and stopped by the command line, by an embedder's test or by
// ours; safe to stop from any thread but its own.
//
// After a crash a new hub on the same data directory has everything it acknowledged. Two hubs on one directory: the second is refused.
#pragma once

#include "cloud/hub/clock.hpp"
#include "cloud/store/port.hpp"
#include "config/hub_settings.hpp"

#include <functional>
#include <memory>
#include <string>

namespace sallyport::cloud {

class api;
class io_pool;
class shard_host;
class tokens_watch;

/// What a test or an embedder may replace.
struct hub_parts {
  std::unique_ptr<store_port> store;               // None: LMDB in the data directory.
  std::shared_ptr<time_source> time;               // None: the machine's clocks.
  std::function<void(std::uint16_t)> on_listening; // The port answers, though not ready yet: the store is still to be read.
  /// The hub can no longer keep its promises and the process is to end. Called once, on a thread of the hub.
  std::function<void(const std::string&)> on_fatal;
};

/// Everything but the sockets: what runtime/testing puts behind its transport port.
class hub_service {
public:
  /// Makes all parts; nothing runs yet and every request is answered not_ready.
  [[nodiscard]] static result<std::unique_ptr<hub_service>> make(const config::hub_settings& settings, hub_parts parts,
                                                                 io_pool* io = nullptr);
  ~hub_service();

  /// Opens and replays the store. Errors: store_locked, store_damaged, store_newer, store_io.
  [[nodiscard]] result<void> start();
  /// Answers whatever waits, then closes the store.
  void stop();

  [[nodiscard]] api& front();
  [[nodiscard]] shard_host& host();
  [[nodiscard]] class metrics& meter();

private:
  struct body;
  explicit hub_service(std::unique_ptr<body> b);
  std::unique_ptr<body> body_;
};

class hub {
public:
  /// Returns when the store was read and requests are answered. Errors: invalid_config (listen address, certificate, token file), and
  /// those of hub_service::start.
  [[nodiscard]] static result<std::unique_ptr<hub>> start(config::hub_settings settings, hub_parts parts = {});
  ~hub();

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] hub_service& service();

  /// Accepts nothing more, answers what is parked, finishes writing, closes the store. Bounded; a second call does nothing.
  void stop();

private:
  struct body;
  explicit hub(std::unique_ptr<body> b);
  std::unique_ptr<body> body_;
};

} // namespace sallyport::cloud

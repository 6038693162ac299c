#include "cloud/hub/hub.hpp"

#include "cloud/hub/api.hpp"
#include "cloud/hub/server.hpp"
#include "cloud/store/journaled.hpp"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <fstream>

namespace sallyport::cloud {

namespace {

constexpr milliseconds stop_within{5'000};

shard_host_settings host_settings(const config::hub_settings& s) {
  shard_host_settings h;
  h.shard.session_ttl = s.session_ttl;
  h.shard.policy = s.policy;
  h.shard.announce = s.dev || s.announce == config::announce_policy::allow;
  h.shard.claim_messages = s.limits.claim_messages;
  h.shard.parked_max = s.limits.parked;
  h.shard.payload_cache_bytes = s.payload_cache_bytes;
  h.shard.pace_messages = s.pace_messages;
  h.mailbox = s.limits.mailbox;
  h.mailbox_bytes = s.limits.mailbox_bytes;
  h.high_water_percent = s.high_water_percent;
  h.stop_within = stop_within;
  return h;
}

api_settings front_settings(const config::hub_settings& s) {
  api_settings a;
  a.event = s.limits.event;
  a.body_bytes = s.limits.body_bytes;
  a.create_on_enqueue = s.dev;
  a.announce = s.dev || s.announce == config::announce_policy::allow;
  return a;
}

std::vector<std::string_view> operation_names() {
  std::vector<std::string_view> names;
  for (const auto& r : routes())
    names.push_back(r.name);
  return names;
}

/// So that scripts and tests find a hub that took a free port. By rename: a reader sees the whole number or none.
result<void> write_port(const std::string& data_dir, std::uint16_t port) {
  const auto path = data_dir + "/hub.port", part = path + ".new";
  std::ofstream out{part, std::ios::trunc};
  out << port << '\n';
  out.close();
  std::error_code ec;
  if (out)
    std::filesystem::rename(part, path, ec);
  if (!out || ec)
    return {errc::invalid_config, "writing " + path + ": " + (ec ? ec.message() : "the file could not be written")};
  return {};
}

} // namespace

// ---- hub_service -----------------------------------------------------------------------------------------------------------------

struct hub_service::body {
  body(const config::hub_settings& s, shard_host_ports ports)
    : meter(operation_names()),
      tokens(config::token_path(s.data_dir), s.dev,
             [](const error& e) { spdlog::error("event=tokens_unreadable error=\"{}\"", to_string(e)); }),
      host(host_settings(s), with_meter(std::move(ports))),
      front(front_settings(s), host, tokens, meter) {}

  shard_host_ports with_meter(shard_host_ports ports) {
    ports.meter = &meter;
    return ports;
  }

  class metrics meter;
  tokens_watch tokens;
  shard_host host;
  api front;
};

hub_service::hub_service(std::unique_ptr<body> b) : body_(std::move(b)) {}
hub_service::~hub_service() = default;

result<std::unique_ptr<hub_service>> hub_service::make(const config::hub_settings& settings, hub_parts parts, io_pool* io) {
  shard_host_ports ports;
  ports.store = std::move(parts.store);
  if (!ports.store) {
    std::error_code ec;
    std::filesystem::create_directories(settings.data_dir, ec);
    if (ec)
      return {errc::invalid_config, "creating the data directory " + settings.data_dir + ": " + ec.message()};
    ports.store =
      std::make_unique<journaled_store>(lmdb_settings{settings.data_dir, settings.map_bytes, settings.disk_reserve_bytes},
                                        journal_settings{.bytes = settings.journal_bytes});
  }
  ports.time = parts.time ? std::move(parts.time) : std::make_shared<real_time>();
  ports.on_stop = std::move(parts.on_fatal);
  if (io) {
    ports.run = [io](unsigned lane, std::function<void()> job) { io->post(lane, std::move(job)); };
    ports.lane = [io] { return io->own_lane(); };
  }
  auto b = std::make_unique<body>(settings, std::move(ports));
  if (!settings.dev)
    if (auto loaded = b->tokens.load(); !loaded)
      return loaded.err();
  return std::unique_ptr<hub_service>{new hub_service{std::move(b)}};
}

result<void> hub_service::start() {
  return body_->host.start();
}
void hub_service::stop() {
  body_->host.stop();
}
api& hub_service::front() {
  return body_->front;
}
shard_host& hub_service::host() {
  return body_->host;
}
class metrics& hub_service::meter() {
  return body_->meter;
}

// ---- hub -------------------------------------------------------------------------------------------------------------------------

struct hub::body {
  explicit body(unsigned threads) : io(threads) {}

  // Requests of the last connections hold on to the service until the threads are gone, so the order of members matters.
  std::unique_ptr<hub_service> service;
  io_pool io;
  std::unique_ptr<server> front;
  bool stopped = false;
};

hub::hub(std::unique_ptr<body> b) : body_(std::move(b)) {}

hub::~hub() {
  stop();
}

result<std::unique_ptr<hub>> hub::start(config::hub_settings settings, hub_parts parts) {
  if (!settings.dev && (settings.tls_cert_file.empty() || settings.tls_key_file.empty()))
    return {errc::invalid_config,
            "a hub needs a certificate and its key (tls.cert_file, tls.key_file); for trying out there is --dev"};
  auto on_listening = std::move(parts.on_listening);
  auto b = std::make_unique<body>(settings.threads);
  auto service = hub_service::make(settings, std::move(parts), &b->io);
  if (!service)
    return service.err();
  b->service = *std::move(service);

  server_settings door;
  door.listen = settings.listen;
  door.loopback_only = settings.dev;
  if (!settings.dev) {
    door.tls_cert_file = settings.tls_cert_file;
    door.tls_key_file = settings.tls_key_file;
  }
  door.limits = settings.limits;
  auto front = server::start(std::move(door), b->io, b->service->front(), b->service->meter());
  if (!front)
    return front.err();
  b->front = *std::move(front);
  std::unique_ptr<hub> made{new hub{std::move(b)}};
  if (on_listening)
    on_listening(made->port());

  // The port answers while the store is read: /healthz says alive, everything else not_ready.
  if (auto started = made->body_->service->start(); !started)
    return started.err();
  if (auto written = write_port(settings.data_dir, made->port()); !written)
    return written.err();
  spdlog::info("event=hub_ready listen={} port={} tls={} dev={}", settings.listen, made->port(), !settings.dev, settings.dev);
  return made;
}

std::uint16_t hub::port() const {
  return body_->front->port();
}
hub_service& hub::service() {
  return *body_->service;
}

void hub::stop() {
  if (std::exchange(body_->stopped, true))
    return;
  body_->front->begin_stop();
  body_->service->stop(); // The I/O threads still carry its last answers.
  body_->front->finish_stop(stop_within);
  body_->io.stop();
  spdlog::info("event=hub_stopped");
}

} // namespace sallyport::cloud

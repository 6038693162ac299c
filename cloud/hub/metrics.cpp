#include "cloud/hub/metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>
#include <sstream>

namespace sallyport::cloud {

namespace {

using prometheus::MetricType;
using labels = std::vector<prometheus::ClientMetric::Label>;

const prometheus::Histogram::BucketBoundaries request_seconds{0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                              0.25,   0.5,   1,     2.5,   5,    10,    30,   60};
const prometheus::Histogram::BucketBoundaries commit_seconds{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01,
                                                             0.025,  0.05,   0.1,   0.5,   1,     5};
const prometheus::Histogram::BucketBoundaries commit_changes{1, 4, 16, 64, 256, 1024, 4096, 16384};

/// A family whose values are read at the moment of asking.
class family {
public:
  family(std::string name, std::string help, MetricType type) {
    out_.name = std::move(name), out_.help = std::move(help), out_.type = type;
  }

  family& add(double value, labels with = {}) {
    prometheus::ClientMetric m;
    m.label = std::move(with);
    if (out_.type == MetricType::Counter)
      m.counter.value = value;
    else
      m.gauge.value = value;
    out_.metric.push_back(std::move(m));
    return *this;
  }
  [[nodiscard]] prometheus::MetricFamily take() { return std::move(out_); }

private:
  prometheus::MetricFamily out_;
};

double as_seconds(milliseconds t) {
  return std::chrono::duration<double>(t).count();
}

} // namespace

struct metrics::body {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests = prometheus::BuildCounter()
                                                        .Name("sallyport_hub_requests_total")
                                                        .Help("Requests answered, by operation and status.")
                                                        .Register(registry);
  prometheus::Family<prometheus::Counter>& refused = prometheus::BuildCounter()
                                                       .Name("sallyport_hub_refused_total")
                                                       .Help("Requests and connections refused at the door, by code.")
                                                       .Register(registry);
  prometheus::Gauge& sockets =
    prometheus::BuildGauge().Name("sallyport_hub_connections").Help("Open client connections.").Register(registry).Add({});
  prometheus::Histogram& commits = prometheus::BuildHistogram()
                                     .Name("sallyport_hub_commit_seconds")
                                     .Help("Duration of one append to the store, sync included.")
                                     .Register(registry)
                                     .Add({}, commit_seconds);
  prometheus::Histogram& batches = prometheus::BuildHistogram()
                                     .Name("sallyport_hub_commit_changes")
                                     .Help("Changes in one append.")
                                     .Register(registry)
                                     .Add({}, commit_changes);
  prometheus::Counter& commit_failures = prometheus::BuildCounter()
                                           .Name("sallyport_hub_commit_failures_total")
                                           .Help("Appends that were not durable.")
                                           .Register(registry)
                                           .Add({});

  struct operation {
    std::string name;
    prometheus::Histogram* latency = nullptr;
    std::mutex mutex;
    std::vector<std::pair<int, prometheus::Counter*>> by_status; // Few; searched linearly.
  };
  std::vector<std::unique_ptr<operation>> operations;
};

metrics::metrics(const std::vector<std::string_view>& operations) : body_(std::make_unique<body>()) {
  auto& latency = prometheus::BuildHistogram()
                    .Name("sallyport_hub_request_seconds")
                    .Help("From the whole request to the start of its answer; claims and calls include their waiting.")
                    .Register(body_->registry);
  for (auto name : operations) {
    auto o = std::make_unique<body::operation>();
    o->name = name;
    o->latency = &latency.Add({{"operation", o->name}}, request_seconds);
    body_->operations.push_back(std::move(o));
  }
}

metrics::~metrics() = default;

void metrics::answered(std::size_t operation, int status, std::chrono::nanoseconds took) {
  auto& o = *body_->operations.at(operation);
  o.latency->Observe(std::chrono::duration<double>(took).count());
  prometheus::Counter* counter = nullptr;
  {
    std::lock_guard lock{o.mutex};
    for (auto& [known, c] : o.by_status)
      if (known == status)
        counter = c;
    if (!counter) {
      counter = &body_->requests.Add({{"operation", o.name}, {"status", std::to_string(status)}});
      o.by_status.emplace_back(status, counter);
    }
  }
  counter->Increment();
}

void metrics::committed(std::chrono::nanoseconds took, std::size_t changes, bool durable) {
  body_->commits.Observe(std::chrono::duration<double>(took).count());
  body_->batches.Observe(static_cast<double>(changes));
  if (!durable)
    body_->commit_failures.Increment();
}

void metrics::socket_opened() {
  body_->sockets.Increment();
}
void metrics::socket_closed() {
  body_->sockets.Decrement();
}
void metrics::refused(std::string_view code) {
  body_->refused.Add({{"code", std::string{code}}}).Increment();
}

std::string metrics::text(const host_view& host, const wire::groups_reply& groups) const {
  auto out = body_->registry.Collect();
  auto counter = [&](std::string name, std::string help, std::uint64_t value) {
    out.push_back(
      family{"sallyport_hub_" + name + "_total", std::move(help), MetricType::Counter}.add(static_cast<double>(value)).take());
  };
  auto gauge = [&](std::string name, std::string help, std::uint64_t value) {
    out.push_back(family{"sallyport_hub_" + name, std::move(help), MetricType::Gauge}.add(static_cast<double>(value)).take());
  };
  const auto& c = host.counters;
  counter("enqueued", "Messages stored.", c.enqueued);
  counter("duplicates", "Events that had been stored before.", c.duplicates);
  counter("granted", "Grants made.", c.granted);
  counter("settled", "Messages settled as done.", c.settled);
  counter("failed", "Attempts that failed.", c.failed);
  counter("lost", "Grants whose session died.", c.lost);
  counter("dead", "Messages that became dead letters.", c.dead);
  counter("expired", "Messages that outlived their time.", c.expired);
  counter("cancelled", "Messages cancelled.", c.cancelled);
  counter("stale_settles", "Settlements under a fence that was not the latest.", c.stale_settles);
  counter("burnt_settles", "Settlements of messages that had been taken from their holder.", c.burnt_settles);
  counter("sessions_opened", "Sessions opened.", c.sessions_opened);
  counter("sessions_expired", "Sessions that ended without a close.", c.sessions_expired);
  counter("appends", "Appends handed to the store.", c.appends);
  counter("mailbox_refused", "Commands refused because the mailbox was full.", host.refused);
  counter("store_reopened", "Times the store was opened again after a failed append or for a higher epoch.", host.reopened);
  gauge("messages_live", "Messages that are not final.", c.messages_live);
  gauge("messages_retained", "Final messages still remembered.", c.messages_retained);
  gauge("sessions_live", "Live sessions.", c.sessions_live);
  gauge("claims_parked", "Claims waiting for messages.", c.claims_parked);
  gauge("calls_waiting", "Calls waiting for their result.", c.calls_waiting);
  gauge("mailbox_commands", "Most commands that waited for the shard at once since the last reading.", host.mailbox);
  gauge("mailbox_bytes", "The same in bytes of their bodies.", host.mailbox_bytes);
  gauge("epoch", "Life number of this hub over its store.", host.epoch.value);
  gauge("store_used_bytes", "Bytes of the store in use.", host.space.used_bytes);
  gauge("store_capacity_bytes", "Bytes the store may use.", host.space.capacity_bytes);
  gauge("disk_free_bytes", "Free bytes of the store's file system.", host.space.disk_free_bytes);
  gauge("has_room", "1 while new messages are taken, 0 while producers get 507.", host.room ? 1 : 0);

  family messages{"sallyport_hub_queue_messages", "Messages of a queue, by state.", MetricType::Gauge};
  family oldest{"sallyport_hub_queue_oldest_age_seconds", "Age of the oldest message that is not final.", MetricType::Gauge};
  family retention{"sallyport_hub_queue_retention_now_seconds", "How far back the window for repeats really reaches.",
                   MetricType::Gauge};
  family paused{"sallyport_hub_queue_paused", "1 while a person has paused the queue.", MetricType::Gauge};
  family target{"sallyport_hub_queue_target_open", "1 while the queue is held because its target fails.", MetricType::Gauge};
  family agents{"sallyport_hub_agents", "Agents of a group, live or not.", MetricType::Gauge};
  for (const auto& g : groups.groups) {
    std::size_t live = 0;
    for (const auto& a : g.agents)
      live += a.live;
    agents.add(static_cast<double>(live), {{"group", g.name.str()}, {"live", "1"}});
    agents.add(static_cast<double>(g.agents.size() - live), {{"group", g.name.str()}, {"live", "0"}});
    for (const auto& q : g.connections) {
      const labels queue{{"group", g.name.str()}, {"connection", q.name.str()}};
      auto in_state = [&](const char* state, std::uint64_t count) {
        auto with = queue;
        with.push_back({"state", state});
        messages.add(static_cast<double>(count), std::move(with));
      };
      in_state("ready", q.ready);
      in_state("delayed", q.delayed);
      in_state("behind_key", q.behind_key);
      in_state("granted", q.granted);
      in_state("dead", q.dead);
      in_state("retained", q.retained);
      oldest.add(q.oldest_age ? as_seconds(*q.oldest_age) : 0, queue);
      retention.add(as_seconds(q.retention_now), queue);
      paused.add(q.policy.paused ? 1 : 0, queue);
      target.add(q.target_state == "open" ? 1 : 0, queue);
    }
  }
  for (auto* f : {&messages, &oldest, &retention, &paused, &target, &agents})
    if (auto taken = f->take(); !taken.metric.empty())
      out.push_back(std::move(taken));
  std::ostringstream text;
  prometheus::TextSerializer{}.Serialize(text, out);
  return text.str();
}

} // namespace sallyport::cloud

#include "runtime/testing/hub.hpp"

#include "cloud/hub/shard_host.hpp"
#include "cloud/store/memory.hpp"
#include "protocol/assert.hpp"
#include "protocol/codec.hpp"
#include "runtime/testing/switchboard.hpp"

#include <algorithm>
#include <future>
#include <set>
#include <thread>

namespace sallyport::testing {
namespace {

constexpr const char* event_type = "application/cloudevents+json";

/// The hub's way to its disk, which ends when the hub is killed: nothing it still does may be stored.
class pluggable_store final : public cloud::store_port {
public:
  pluggable_store(std::shared_ptr<cloud::memory_disk> disk, std::shared_ptr<std::atomic<bool>> killed)
    : inner_(std::move(disk)),
      killed_(std::move(killed)) {}

  result<cloud::opened_store> open(epoch_number at_least) override {
    if (*killed_)
      return {errc::store_damaged, "the hub was killed"};
    return inner_.open(at_least);
  }
  result<void> replay(const std::function<void(std::string_view, std::string_view)>& visitor) override {
    return inner_.replay(visitor);
  }
  cloud::append_outcome append(epoch_number epoch, std::uint64_t tail, const cloud::batch& changes) override {
    if (*killed_)
      return {cloud::append_status::unknown, 0, "the hub was killed", true};
    return inner_.append(epoch, tail, changes);
  }
  result<std::shared_ptr<const std::string>> fetch(std::string_view key) override { return inner_.fetch(key); }
  cloud::store_space space() override { return inner_.space(); }
  void close() override { inner_.close(); }

private:
  cloud::memory_store inner_;
  const std::shared_ptr<std::atomic<bool>> killed_;
};

config::hub_settings settings_of(const hub_options& o) {
  config::hub_settings s;
  s.dev = true;
  s.session_ttl = o.session_ttl;
  s.policy = o.policy;
  return s;
}

std::string path_of(const group_name& group) {
  return "/v1/groups/" + group.value;
}
std::string path_of(const group_name& group, const connection_name& connection) {
  return path_of(group) + "/connections/" + connection.value;
}

template <class Reply>
result<Reply> read(result<runtime::http_reply> reply) {
  if (!reply)
    return reply.err();
  if (reply->status / 100 != 2)
    return wire::decode_problem(reply->body);
  return wire::decode<Reply>(reply->body);
}

} // namespace

struct hub::body {
  explicit body(hub_options o)
    : options(std::move(o)),
      tick(std::clamp(options.tick, milliseconds{1}, std::max(options.session_ttl / 4, milliseconds{1}))),
      clock(std::make_shared<stepped_clock>(options.start)),
      board(std::make_shared<switchboard>(clock)) {}

  const hub_options options;
  const milliseconds tick; // The hub takes a gap of a third of the ttl for a sleep of its own, and renews all sessions.
  const std::shared_ptr<stepped_clock> clock;
  const std::shared_ptr<switchboard> board;
  const std::shared_ptr<cloud::memory_disk> disk = std::make_shared<cloud::memory_disk>();
  std::shared_ptr<std::atomic<bool>> killed; // The service that runs now.
  std::mutex stepping;                       // One at a time moves time, or kills the hub. Guards the hook as well.
  std::function<void()> hook;

  void start() {
    killed = std::make_shared<std::atomic<bool>>(false);
    cloud::hub_parts parts;
    parts.store = std::make_unique<pluggable_store>(disk, killed);
    parts.time = clock;
    auto made = cloud::hub_service::make(settings_of(options), std::move(parts));
    SALLYPORT_ASSERT(made.ok());
    const auto started = (*made)->start();
    SALLYPORT_ASSERT(started.ok());
    board->plug(*std::move(made));
  }

  void kill() {
    *killed = true;
    const auto before = board->plug(nullptr);
    before->stop();
  }

  /// A question whose answer waits for everything decided before it to be durable.
  void pass_through(cloud::hub_service& service) const {
    auto passed = std::make_shared<std::promise<void>>();
    auto done = passed->get_future();
    cloud::command question;
    question.scope.all = true;
    question.what = cloud::ask::view_message{};
    service.host().submit(std::move(question), 0, [passed](const cloud::answer&) { passed->set_value(); });
    const bool hub_answers = done.wait_for(options.wait_for_hub) == std::future_status::ready;
    SALLYPORT_ASSERT(hub_answers);
  }

  void let_handlers_run() const {
    const bool handlers_return = board->postman().flush(options.wait_for_hub);
    SALLYPORT_ASSERT(handlers_return);
  }

  void sync() const {
    let_handlers_run(); // Requests leave on the same thread.
    if (const auto service = board->service()) {
      service->host().step();
      pass_through(*service); // Twice: an answer whose content is fetched from the disk comes after the first.
      pass_through(*service);
    }
    let_handlers_run();
  }

  void advance(milliseconds by) {
    while (by > milliseconds{0}) {
      const auto step = std::min(by, tick);
      wait_for_agents(step);
      clock->step(step);
      sync();
      board->time_out();
      let_handlers_run();
      if (hook)
        hook();
      by -= step;
    }
  }

  void wait_for_agents(milliseconds step) {
    if (options.wait_for_agents == milliseconds{0})
      return;
    const auto since = clock->now().mono + step - options.session_ttl / 2;
    const auto silent = board->wait_until_heard(since, milliseconds{0});
    if (silent.empty())
      return;
    const auto live = live_sessions();
    for (const auto& session : silent)
      if (live.count(session) == 0)
        board->forget(session);
    for (const auto& session : board->wait_until_heard(since, options.wait_for_agents))
      board->give_up(session);
  }

  std::set<std::string> live_sessions() {
    std::set<std::string> live;
    runtime::http_request everything;
    everything.method = "GET";
    everything.target = "/v1/groups";
    const auto all = read<wire::groups_reply>(request(everything));
    SALLYPORT_ASSERT(all.ok());
    for (const auto& group : (*all).groups)
      for (const auto& agent : group.agents)
        if (agent.live)
          live.insert(agent.session);
    return live;
  }

  result<runtime::http_reply> request(runtime::http_request r) const {
    const auto service = board->service();
    if (!service)
      return {errc::unreachable, "the in-process hub is being restarted"};
    auto answer = std::make_shared<std::promise<cloud::api_response>>();
    auto reply = answer->get_future();
    const auto parked = service->front().handle(
      head_of(r), std::move(r.body), [answer](cloud::api_response response) { answer->set_value(std::move(response)); });
    if (reply.wait_for(options.wait_for_hub) == std::future_status::ready)
      return to_reply(reply.get());
    service->front().cancel(parked);
    return {errc::timed_out, r.method + " " + r.target + " was not answered within "
                               + std::to_string(options.wait_for_hub.count())
                               + " ms of real time; did stepped time stand still?"};
  }
};

hub::hub(hub_options options) : body_(std::make_unique<body>(std::move(options))) {
  body_->start();
}

hub::~hub() {
  body_->kill();
}

runtime::transport_factory hub::transport() {
  return [board = body_->board](const std::string&) -> result<std::shared_ptr<runtime::transport>> { return board->connect(); };
}

std::shared_ptr<runtime::time_source> hub::time() {
  return body_->clock;
}

// ---- time ----------------------------------------------------------------------------------------------------------------------

instant hub::now() const {
  return body_->clock->now();
}

void hub::advance(milliseconds by) {
  const std::lock_guard lock{body_->stepping};
  body_->advance(by);
}

bool hub::advance_until(const std::function<bool()>& holds, milliseconds at_most) {
  for (milliseconds passed{0}; !holds(); passed += body_->tick) {
    if (passed >= at_most)
      return false;
    advance(body_->tick);
    std::this_thread::sleep_for(milliseconds{2}); // Agents run in real time: a step may be much for them to do.
  }
  return true;
}

bool hub::wait_until(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + body_->options.wait_for_hub;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until)
      return false;
    std::this_thread::sleep_for(milliseconds{1});
  }
  return true;
}

void hub::between_ticks(std::function<void()> hook) {
  const std::lock_guard lock{body_->stepping};
  body_->hook = std::move(hook);
}

void hub::sync() {
  const std::lock_guard lock{body_->stepping};
  body_->sync();
}

// ---- producers and people ------------------------------------------------------------------------------------------------------

result<runtime::http_reply> hub::request(std::string method, std::string target, std::string body, std::string content_type,
                                         std::string prefer) {
  runtime::http_request r;
  r.method = std::move(method);
  r.target = std::move(target);
  r.body = std::move(body);
  r.content_type = std::move(content_type);
  r.prefer = std::move(prefer);
  return body_->request(std::move(r));
}

result<message_id> hub::enqueue(const group_name& group, const connection_name& connection, std::string event) {
  const auto reply =
    read<wire::enqueue_reply>(request("POST", path_of(group, connection) + "/messages", std::move(event), event_type));
  if (!reply)
    return reply.err();
  return (*reply).messages.at(0).message;
}

result<wire::call_reply> hub::call(const group_name& group, const connection_name& connection, std::string event, seconds wait) {
  return read<wire::call_reply>(
    request("POST", path_of(group, connection) + "/calls", std::move(event), event_type, "wait=" + std::to_string(wait.count())));
}

result<wire::message_view> hub::message(message_id id) {
  return read<wire::message_view>(request("GET", "/v1/messages/" + to_string(id)));
}

result<wire::group_view> hub::group(const group_name& name) {
  return read<wire::group_view>(request("GET", path_of(name)));
}

result<wire::connection_view> hub::configure(const group_name& group, const connection_name& connection,
                                             const wire::policy_patch& patch) {
  return read<wire::connection_view>(request("PUT", path_of(group, connection), wire::encode(patch)));
}

// ---- faults --------------------------------------------------------------------------------------------------------------------

void hub::cut(outage how) {
  body_->board->cut(how);
}

void hub::mend() {
  body_->board->cut(std::nullopt);
}

void hub::lose_replies(std::size_t count, std::string target_end) {
  if (count > 0)
    body_->board->lose_replies(count, std::move(target_end));
}

void hub::restart() {
  const std::lock_guard lock{body_->stepping};
  body_->kill();
  body_->start();
}

void hub::expire_sessions() {
  const std::lock_guard lock{body_->stepping};
  const auto before = body_->board->outage_now();
  body_->board->cut(before.value_or(outage::refused));
  body_->advance(body_->options.session_ttl + 2 * body_->tick);
  body_->board->cut(before);
}

cloud::memory_disk& hub::disk() {
  return *body_->disk;
}

} // namespace sallyport::testing

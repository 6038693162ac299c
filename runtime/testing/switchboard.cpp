#include "runtime/testing/switchboard.hpp"

#include "protocol/assert.hpp"

#include <algorithm>
#include <future>
#include <utility>

namespace sallyport::testing {

using runtime::http_reply;
using runtime::http_request;
using handler = runtime::transport::handler;

instant stepped_clock::now() {
  const milliseconds passed{passed_.load()};
  return {mono_time{seconds{1'000}} + passed, start_ + passed};
}

// ---- courier -------------------------------------------------------------------------------------------------------------------

courier::courier() : thread_([desk = desk_] { desk->run(); }) {}

courier::~courier() {
  {
    const std::lock_guard lock{desk_->mutex};
    desk_->ended = true;
  }
  desk_->wake.notify_one();
  if (on_thread())
    thread_.detach(); // A handler held the last reference. The thread keeps its desk and ends after what is on it.
  else
    thread_.join();
}

void courier::desk::run() {
  std::unique_lock lock{mutex};
  for (;;) {
    wake.wait(lock, [this] { return !jobs.empty() || ended; });
    if (jobs.empty())
      return;
    auto job = std::move(jobs.front());
    jobs.pop_front();
    lock.unlock();
    job();
    job = nullptr; // What it holds may be the last of its kind, and ask for the lock.
    lock.lock();
  }
}

void courier::post(std::function<void()> job) {
  {
    const std::lock_guard lock{desk_->mutex};
    desk_->jobs.push_back(std::move(job));
  }
  desk_->wake.notify_one();
}

bool courier::flush(milliseconds within) {
  SALLYPORT_ASSERT(!on_thread());
  auto passed = std::make_shared<std::promise<void>>();
  auto done = passed->get_future();
  post([passed] { passed->set_value(); });
  if (within != milliseconds::max())
    return done.wait_for(within) == std::future_status::ready;
  done.wait();
  return true;
}

// ---- requests ------------------------------------------------------------------------------------------------------------------

http_reply to_reply(cloud::api_response r) {
  http_reply reply;
  reply.status = r.status;
  reply.content_type = std::move(r.content_type);
  reply.body = std::move(r.body);
  for (auto& [name, value] : r.headers) {
    if (name == "Location")
      reply.location = std::move(value);
    else if (name == "Retry-After")
      reply.retry_after_s = static_cast<unsigned>(std::stoul(value));
  }
  return reply;
}

cloud::request_head head_of(const http_request& r) {
  cloud::request_head head;
  head.method = r.method;
  head.target = r.target;
  head.authorization = "Bearer dev";
  head.content_type = r.content_type;
  head.prefer = r.prefer;
  head.accept = r.accept;
  return head;
}

struct switchboard::errand {
  http_request request;
  handler on_reply; // Empty once it has been called.
  mono_time deadline;
  line* from = nullptr;   // Lives until all its errands have been handed over.
  std::uint64_t left = 0; // The life of the service that has it; 0: nobody has.
  cloud::ticket parked;
  std::optional<result<http_reply>> reply; // Decided.
};

/// One transport.
class switchboard::line final : public runtime::transport {
public:
  explicit line(std::shared_ptr<switchboard> board) : board_(std::move(board)) {}
  ~line() override { close(); }

  void send(http_request request, handler on_reply) override { board_->send(*this, std::move(request), std::move(on_reply)); }
  void close() override { board_->close(*this); }

private:
  friend class switchboard;
  const std::shared_ptr<switchboard> board_;
  // Under the board's mutex.
  bool closed_ = false;
  std::map<std::uint32_t, std::deque<errand_ptr>> slots_; // The first of each is on its way.
  std::vector<errand_ptr> owed_;                          // Whose handlers were not called yet.
};

std::shared_ptr<runtime::transport> switchboard::connect() {
  return std::make_shared<line>(shared_from_this());
}

void switchboard::send(line& from, http_request request, handler on_reply) {
  auto e = std::make_shared<errand>();
  e->deadline = clock_->now().mono + request.timeout;
  e->request = std::move(request);
  e->on_reply = std::move(on_reply);
  e->from = &from;
  const std::lock_guard lock{mutex_};
  from.owed_.push_back(e);
  if (from.closed_)
    return conclude(e, make_error(errc::stopped, "the transport to the in-process hub has been closed"));
  open_.push_back(e);
  auto& slot = from.slots_[e->request.slot];
  slot.push_back(e);
  if (slot.size() == 1)
    courier_.post([self = shared_from_this(), e] { self->dispatch(e); });
}

/// Courier only: what is wrong with a request is answered inside handle(), and no answer may come inside send().
void switchboard::dispatch(const errand_ptr& e) {
  service_ptr to;
  std::uint64_t life = 0;
  {
    const std::lock_guard lock{mutex_};
    if (e->reply || outage_ == outage::silent)
      return;
    if (!service_ || outage_ == outage::refused)
      return conclude(
        e, make_error(errc::unreachable, service_ ? "the line to the in-process hub is cut" : "the in-process hub is gone"));
    to = service_;
    life = e->left = life_;
    hear(*e);
  }
  const auto parked =
    to->front().handle(head_of(e->request), std::move(e->request.body),
                       [self = shared_from_this(), e, life](cloud::api_response a) { self->answered(e, life, std::move(a)); });
  {
    const std::lock_guard lock{mutex_};
    e->parked = parked;
    if (!e->reply)
      return;
  }
  if (parked.value != 0)
    to->front().cancel(parked); // Ended while it was handed in. To take back what was answered does no harm.
}

void switchboard::answered(const errand_ptr& e, std::uint64_t life, cloud::api_response response) {
  const std::lock_guard lock{mutex_};
  if (e->reply || life != life_ || outage_ == outage::silent)
    return;
  if (loses(*e))
    return conclude(e, make_error(errc::outcome_unknown, "the answer was lost on its way, as ordered"));
  auto reply = to_reply(std::move(response));
  learn_session(*e, reply);
  conclude(e, std::move(reply));
}

/// With the lock. The next of the slot goes first, so that the connection is not idle while the handler works.
void switchboard::conclude(const errand_ptr& e, result<http_reply> reply, recalls* back) {
  SALLYPORT_ASSERT(!e->reply);
  e->reply = std::move(reply);
  if (back && e->parked.value != 0 && e->left == life_ && service_)
    back->emplace_back(service_, e->parked);
  std::erase(open_, e);
  if (const auto found = e->from->slots_.find(e->request.slot); found != e->from->slots_.end()) {
    auto& slot = found->second;
    const bool first = !slot.empty() && slot.front() == e;
    std::erase(slot, e);
    if (first && !slot.empty())
      courier_.post([self = shared_from_this(), next = slot.front()] { self->dispatch(next); });
  }
  courier_.post([self = shared_from_this(), e] { self->deliver(e); });
}

/// Courier only.
void switchboard::deliver(const errand_ptr& e) {
  handler on_reply;
  {
    const std::lock_guard lock{mutex_};
    on_reply = std::exchange(e->on_reply, nullptr);
    if (!on_reply)
      return; // By close(), on this thread.
    std::erase(e->from->owed_, e);
  }
  on_reply(*std::move(e->reply));
}

void switchboard::close(line& from) {
  recalls back;
  {
    const std::lock_guard lock{mutex_};
    from.closed_ = true;
    for (const auto& e : std::vector<errand_ptr>{from.owed_})
      if (!e->reply)
        conclude(e, make_error(errc::stopped, "the transport to the in-process hub has been closed"), &back);
    std::erase_if(sessions_, [&](const auto& s) { return s.second.from == &from; });
  }
  heard_.notify_all();
  carry_out(back);
  if (!courier_.on_thread()) {
    courier_.flush();
    return;
  }
  // Called by a handler, the only one that runs: nobody else hands over the rest.
  for (;;) {
    errand_ptr next;
    {
      const std::lock_guard lock{mutex_};
      if (from.owed_.empty())
        return;
      next = from.owed_.front();
    }
    deliver(next);
  }
}

void switchboard::time_out() {
  recalls back;
  {
    const std::lock_guard lock{mutex_};
    const auto now = clock_->now().mono;
    for (const auto& e : std::vector<errand_ptr>{open_})
      if (e->deadline <= now)
        conclude(
          e,
          make_error(errc::timed_out, "no answer within " + std::to_string(e->request.timeout.count()) + " ms of stepped time"),
          &back);
  }
  carry_out(back);
}

void switchboard::carry_out(const recalls& back) {
  for (const auto& [from, parked] : back)
    from->front().cancel(parked);
}

// ---- faults --------------------------------------------------------------------------------------------------------------------

switchboard::service_ptr switchboard::plug(service_ptr service) {
  const std::lock_guard lock{mutex_};
  for (const auto& e : std::vector<errand_ptr>{open_})
    if (e->left != 0 && outage_ != outage::silent)
      conclude(e, make_error(errc::outcome_unknown, "the in-process hub went away before it answered"));
  ++life_;
  return std::exchange(service_, std::move(service));
}

switchboard::service_ptr switchboard::service() const {
  const std::lock_guard lock{mutex_};
  return service_;
}

void switchboard::cut(std::optional<outage> how) {
  recalls back;
  {
    const std::lock_guard lock{mutex_};
    outage_ = how;
    if (how == outage::refused) {
      for (const auto& e : std::vector<errand_ptr>{open_}) {
        if (e->left != 0)
          conclude(e, make_error(errc::outcome_unknown, "the line to the in-process hub was cut before it answered"), &back);
        else // It may have vanished on a silent line, so no dispatch will find it.
          conclude(e, make_error(errc::unreachable, "the line to the in-process hub is cut"));
      }
    }
  }
  heard_.notify_all();
  carry_out(back);
}

std::optional<outage> switchboard::outage_now() const {
  const std::lock_guard lock{mutex_};
  return outage_;
}

void switchboard::lose_replies(std::size_t count, std::string target_end) {
  const std::lock_guard lock{mutex_};
  losses_.push_back({count, std::move(target_end)});
}

bool switchboard::loses(const errand& e) {
  const auto ordered =
    std::find_if(losses_.begin(), losses_.end(), [&](const loss& l) { return e.request.target.ends_with(l.target_end); });
  if (ordered == losses_.end())
    return false;
  if (--ordered->count == 0)
    losses_.erase(ordered);
  return true;
}

// ---- who is alive --------------------------------------------------------------------------------------------------------------

namespace {

constexpr std::string_view sessions_path = "/v1/sessions/";

/// Of a target or location below it; empty elsewhere.
std::string session_in(std::string_view path) {
  if (!path.starts_with(sessions_path))
    return {};
  path.remove_prefix(sessions_path.size());
  return std::string{path.substr(0, path.find('/'))};
}

} // namespace

void switchboard::hear(const errand& e) {
  const auto found = sessions_.find(session_in(e.request.target));
  if (found == sessions_.end())
    return;
  found->second.heard = clock_->now().mono;
  found->second.given_up = false;
  if (e.request.method == "DELETE")
    sessions_.erase(found);
  heard_.notify_all();
}

void switchboard::learn_session(const errand& e, const http_reply& reply) {
  if (e.request.target == "/v1/sessions" && reply.status == 201 && !e.from->closed_)
    sessions_[session_in(reply.location)] = {e.from, clock_->now().mono, false};
}

std::vector<std::string> switchboard::wait_until_heard(mono_time since, milliseconds patience) {
  std::vector<std::string> silent;
  std::unique_lock lock{mutex_};
  heard_.wait_for(lock, patience, [&] {
    silent.clear();
    if (!outage_)
      for (const auto& [name, p] : sessions_)
        if (p.heard < since && !p.given_up)
          silent.push_back(name);
    return silent.empty();
  });
  return silent;
}

void switchboard::give_up(const std::string& session) {
  const std::lock_guard lock{mutex_};
  if (const auto found = sessions_.find(session); found != sessions_.end())
    found->second.given_up = true;
}

void switchboard::forget(const std::string& session) {
  const std::lock_guard lock{mutex_};
  sessions_.erase(session);
}

} // namespace sallyport::testing

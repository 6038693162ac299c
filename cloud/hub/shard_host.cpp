#include "cloud/hub/shard_host.hpp"

#include "cloud/hub/content.hpp"
#include "cloud/hub/metrics.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <unordered_map>

#include <pthread.h>

namespace sallyport::cloud {

namespace {

using steady = std::chrono::steady_clock;

/// The store is asked for its room at the latest when this much was written: a flood must not outrun the reserve.
constexpr std::uint64_t look_after_bytes = 4 << 20;
/// So much in the mailbox is decided on while an append is under way, not after it.
constexpr std::size_t decided_meanwhile = 64;
constexpr std::uint64_t decided_meanwhile_bytes = 64 << 10;

/// One thing in the mailbox.
struct errand {
  enum class kind : std::uint8_t { submit, forget, inspect, step, drain };
  kind what = kind::submit;
  ticket from;
  std::uint64_t bytes = 0;
  unsigned lane = 0;
  command order;
  shard_host::completion done;
  std::function<void(host_view)> seen;
  std::shared_ptr<std::promise<void>> stepped;
};

/// Who waits for an answer, and what of the mailbox's room the command takes up until then.
struct asker {
  shard_host::completion done;
  std::uint64_t bytes = 0;
  unsigned lane = 0;
  bool charged = true;
};

struct finished {
  shard_host::completion done;
  answer what;
  unsigned lane = 0;
};

/// What may wait for long is bounded by the shard and takes no room in the mailbox once it was read.
bool may_park(const command& c) {
  return std::holds_alternative<ask::claim>(c.what) || std::holds_alternative<ask::call>(c.what);
}

/// Heartbeats wait for the owner's next turn, which is soon: to be woken for each would be most of what ten thousand idle agents cost.
bool can_wait(const command& c) {
  return std::holds_alternative<ask::beat>(c.what);
}
constexpr milliseconds heartbeats_wait{40};

/// What agents send to finish or keep what they hold goes in over the edge of the mailbox, up to a quarter of it.
bool has_reserve(const command& c) {
  return std::holds_alternative<ask::beat>(c.what) || std::holds_alternative<ask::settle>(c.what)
         || std::holds_alternative<ask::extend>(c.what) || std::holds_alternative<ask::close>(c.what)
         || std::holds_alternative<ask::open>(c.what);
}

error refusal(errc code, std::string detail, unsigned retry_after_s) {
  auto e = make_error(code, std::move(detail));
  e.retry_after_s = retry_after_s;
  return e;
}

} // namespace

struct shard_host::body {
  const shard_host_settings settings;
  shard_host_ports ports;

  // -- shared by all threads, under `gate`
  std::mutex gate;
  std::condition_variable wake_owner, wake_committer, wake_clerk;
  std::vector<errand> mailbox;
  std::uint64_t mailbox_bytes = 0;
  bool mailbox_urgent = false;                  // Something in it is not to wait for an append under way.
  std::uint64_t charged = 0, charged_bytes = 0; // Commands not answered yet, in the mailbox or waiting for the disk.
  std::uint64_t charged_most = 0, charged_bytes_most = 0, last_ticket = 0, refused = 0;
  enum class phase : std::uint8_t { filling, open, closed } now_is = phase::filling; // Only when open, errands are taken in.
  std::optional<duty::append> to_append;
  std::optional<append_outcome> outcome;
  bool committing = false;           // From the decision to append to the outcome.
  bool deciding = false;             // Somebody has the desk, and looks into the mailbox before leaving it.
  bool owner_wanted = false;         // The one who had it left it for the owner.
  bool owner_decides = false;        // Nobody else, from now on: the host is stopping.
  bool owner_awaits_outcome = false; // At the desk.
  steady::time_point look_at{};      // When the owner is to take the desk, whatever comes.
  steady::time_point sleeps_until{}; // The owner.
  bool committer_ends = false;
  std::vector<finished> to_fetch;
  std::vector<std::function<void()>> clerk_jobs;
  bool clerk_ends = false;

  // Held shared while content is fetched, alone while the store is closed and opened again.
  std::shared_mutex store_gate;
  std::atomic<steady::rep> append_since{0}; // When the append under way began; 0: none is.
  std::atomic<bool> running{false}, reopening{false};

  // -- of whoever has the desk
  std::vector<errand> work;
  std::vector<std::shared_ptr<std::promise<void>>> stepped; // To be told when this turn is over.
  std::optional<duty::reopen> to_reopen;                    // What only the owner does, because it takes long.
  bool by_owner = true;                                     // Who has it.
  shard core;
  wall_keeper wall;
  std::unordered_map<std::uint64_t, asker> waiting;
  std::uint64_t released = 0, released_bytes = 0; // In this turn.
  std::vector<std::vector<finished>> answered;    // By lane; gathered in one turn, handed over together at its end.
  std::vector<finished> unfetched;                // The same, of all lanes.
  bool appending = false, draining = false, ended = false, room = true;
  std::uint64_t reopened = 0, written = 0;
  store_space space;
  steady::time_point space_at{}, drain_until{};

  std::thread owner, committer, clerk;

  body(const shard_host_settings& s, shard_host_ports p) : settings(s), ports(std::move(p)), core(settings.shard) {}

  instant now() { return wall.correct(ports.time->now()); }
  [[nodiscard]] unsigned own_lane() const { return ports.lane ? ports.lane() : 0; }

  void alarm(const std::string& what) {
    spdlog::warn("event=alarm what=\"{}\"", what);
    if (ports.on_alarm)
      ports.on_alarm(what);
  }

  // ---- filling -----------------------------------------------------------------------------------------------------------------

  result<void> fill(epoch_number at_least) {
    const auto began = steady::now();
    // Wall-clock milliseconds: a store restored from a backup is above all that was granted before, unless the clock was wrong too.
    const auto wall_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now().wall.time_since_epoch().count()));
    auto opened = ports.store->open(std::max(at_least, epoch_number{wall_ms}));
    if (!opened)
      return opened.err();
    core.reopened(*opened);
    std::uint64_t records = 0;
    std::string not_understood;
    auto replayed = ports.store->replay([&](std::string_view key, std::string_view value) {
      ++records;
      if (not_understood.empty() && !core.restore(key, value))
        not_understood = fmt::format("record {} of {} bytes", records, key.size() + value.size());
    });
    if (!replayed)
      return replayed.err();
    if (!not_understood.empty())
      return {errc::store_damaged, "replaying the store: " + not_understood + " is not understood; nothing was changed"};
    core.started(now());
    look_at_space();
    spdlog::info("event=store_open epoch={} tail={} records={} seconds={:.3f}", opened->epoch.value, opened->tail, records,
                 std::chrono::duration<double>(steady::now() - began).count());
    return {};
  }

  /// Owner thread, no append under way.
  void refill(const duty::reopen& why) {
    spdlog::warn("event=store_reopen at_least={} why=\"{}\"", why.at_least.value, why.why);
    ++reopened;
    const auto until = steady::now() + settings.reopen_within;
    for (auto pause = milliseconds{20};; pause = std::min(pause * 2, milliseconds{2'000})) {
      auto filled = [&] {
        std::unique_lock lock{store_gate};
        ports.store->close();
        return fill(why.at_least);
      }();
      if (filled)
        break;
      spdlog::error("event=store_reopen_failed error=\"{}\"", to_string(filled.err()));
      const bool hopeless = filled.err().code == errc::store_damaged || filled.err().code == errc::store_newer;
      if (hopeless || draining || steady::now() > until)
        return end("the store could not be opened again: " + to_string(filled.err()));
      std::this_thread::sleep_for(pause); // Nothing can be decided without the store; the mailbox keeps its edge meanwhile.
    }
    reopening = false;
  }

  void look_at_space() {
    space_at = steady::now();
    written = 0;
    space = ports.store->space();
    // Once full, a little must be freed before producers are let in again, or every freed page would be fought over.
    const auto slack = room ? 0 : std::min<std::uint64_t>(space.capacity_bytes / 100, 4 << 20);
    const bool fits =
      (space.used_bytes + slack) * 100 < space.capacity_bytes * settings.high_water_percent && space.admits(slack);
    auto why = fits ? std::string{}
                    : fmt::format("the store holds {} of {} bytes and its disk has {} left", space.used_bytes,
                                  space.capacity_bytes, space.disk_free_bytes);
    if (room != fits) {
      room = fits;
      if (room)
        spdlog::info("event=room_returned used_bytes={} disk_free_bytes={}", space.used_bytes, space.disk_free_bytes);
      else
        alarm("no room for new messages: " + why);
    }
    core.set_room(room, std::move(why));
  }

  // ---- the owner -----------------------------------------------------------------------------------------------------------------

  /// How long the owner may sleep: the clock may be stepped, so never for long.
  milliseconds nap() {
    const auto most =
      std::min(core.counters().sessions_live > 0 ? heartbeats_wait : milliseconds{250}, settings.shard.session_ttl / 6);
    const auto next = core.next_wake(), at = now().mono;
    return next <= at ? milliseconds{1} : std::clamp(next - at, milliseconds{1}, most);
  }

  /// Puts it into the mailbox, lets go of the gate, which the caller holds, and decides if nobody else does.
  void bring(std::unique_lock<std::mutex> held, errand e, bool lazy = false) {
    mailbox_urgent |= e.what == errand::kind::step || e.what == errand::kind::inspect;
    mailbox_bytes += e.bytes;
    mailbox.push_back(std::move(e));
    const bool mine = !lazy && !mailbox_can_wait() && take_desk();
    held.unlock();
    if (mine)
      decide();
  }
  /// While an append is under way no change can be answered: a little is left to whoever comes with the append's outcome, or to the owner
  /// when that takes long.
  [[nodiscard]] bool mailbox_can_wait() const {
    return committing && !mailbox_urgent && !owner_decides && mailbox.size() < decided_meanwhile
           && mailbox_bytes < decided_meanwhile_bytes;
  }
  [[nodiscard]] bool nothing_to_decide() const { return !outcome && (mailbox.empty() || mailbox_can_wait()); }
  void take_mailbox(std::optional<append_outcome>& ended_append) {
    SALLYPORT_ASSERT(work.empty());
    work.swap(mailbox);
    mailbox_bytes = 0;
    mailbox_urgent = false;
    ended_append.swap(outcome);
  }
  [[nodiscard]] bool take_desk() {
    const bool free = !deciding && !owner_decides;
    if (free)
      deciding = true;
    else if (!deciding)
      wake_owner.notify_one();
    return free;
  }
  void leave_desk(steady::time_point next) {
    deciding = false;
    look_at = mailbox.empty() ? next : std::min(next, steady::now() + heartbeats_wait);
    if (look_at < sleeps_until)
      wake_owner.notify_one();
  }

  /// By any thread but the owner, which has taken the desk: all there is, and what others bring meanwhile. The owner goes on where it may
  /// take long: to ask the store for its room, to open it again, to stop. Nobody could give the desk back who was thrown out of here.
  void decide(bool is_committer = false) noexcept {
    constexpr int turns_max = 8; // The thread has other things to do.
    by_owner = false;
    for (int turns = 0;; ++turns) {
      std::optional<append_outcome> ended_append;
      const auto next = turns == 0 ? steady::time_point{} : steady::now() + nap();
      {
        std::lock_guard lock{gate};
        const bool failed = outcome && outcome->status != append_status::durable;
        const bool leaves = nothing_to_decide() || (is_committer && to_append);
        if (failed || to_reopen || owner_decides || space_is_due() || (turns == turns_max && !leaves)) {
          owner_wanted = true;
          return wake_owner.notify_one();
        }
        if (leaves && turns > 0)
          return leave_desk(next);
        take_mailbox(ended_append);
      }
      if (ended_append)
        after_append(*ended_append);
      turn();
    }
  }

  void own() {
    while (!ended) {
      std::optional<append_outcome> ended_append;
      {
        std::unique_lock lock{gate};
        for (auto at = steady::now(); !owner_wanted; at = steady::now()) {
          if (!deciding && (at >= look_at || outcome || (owner_decides && !mailbox.empty()))) {
            deciding = true;
            break;
          }
          sleeps_until = deciding ? at + heartbeats_wait : look_at;
          wake_owner.wait_until(lock, sleeps_until);
        }
        owner_wanted = false;
        sleeps_until = {};
        take_mailbox(ended_append);
      }
      by_owner = true;
      if (ended_append)
        after_append(*ended_append);
      reopen();
      if (ended)
        break;
      turn();
      reopen();
      if (draining && !ended && ((waiting.empty() && !appending) || steady::now() > drain_until))
        ended = true;
      if (ended)
        break;
      const auto next = steady::now() + nap();
      std::lock_guard lock{gate};
      if (nothing_to_decide())
        leave_desk(next);
      else
        owner_wanted = true;
    }
    running = false;
    abandon();
  }

  void after_append(const append_outcome& o) {
    appending = false;
    const bool of_old_life = to_reopen.has_value();
    core.appended(o, now());
    if (o.status == append_status::durable)
      return; // What arrived meanwhile joins the next batch.
    spdlog::error("event=append_failed status={} sync_failed={} detail=\"{}\"", static_cast<int>(o.status), o.sync_failed,
                  o.detail);
    carry_out(); // Before anything else is decided on a memory that is ahead of the disk.
    if (of_old_life)
      end_unless_trusted(o);
    reopen();
    if (!ended && o.status == append_status::full)
      look_at_space();
  }

  [[nodiscard]] bool space_is_due() const {
    return written >= look_after_bytes || steady::now() - space_at >= settings.space_every;
  }

  /// Decides on what was taken from the mailbox.
  void turn() {
    auto at = now();
    if (wall.take_alarm())
      alarm("the wall clock jumped far ahead; schedules hold to the old time until it is back or the hub is restarted");
    for (auto& e : work) {
      switch (e.what) {
        case errand::kind::submit: admit(e, at); break;
        case errand::kind::forget:
          if (auto node = waiting.extract(e.from.value)) {
            release(node.mapped());
            core.forget(e.from);
          }
          break;
        case errand::kind::inspect: hand_over(e.lane, [seen = std::move(e.seen), view = view()] { seen(view); }); break;
        case errand::kind::step: stepped.push_back(std::move(e.stepped)); break;
        case errand::kind::drain:
          draining = true;
          drain_until = steady::now() + settings.stop_within;
          core.drain();
          break;
      }
    }
    core.tick(at); // After what has arrived: a heartbeat in the mailbox counts before its session is swept.
    if (by_owner && space_is_due())
      look_at_space();
    carry_out();
    work.clear();
    if (!to_reopen) // Else reopen() does.
      finish_steps();
  }

  void admit(errand& e, instant at) {
    auto& from = waiting.emplace(e.from.value, asker{std::move(e.done), e.bytes, e.lane}).first->second;
    if (may_park(e.order))
      release(from);
    core.submit(e.from, std::move(e.order), at);
  }

  void release(asker& a) {
    if (!std::exchange(a.charged, false))
      return;
    ++released;
    released_bytes += a.bytes;
  }

  void carry_out() {
    for (auto& item : core.take_duties()) {
      if (auto* append = std::get_if<duty::append>(&item)) {
        SALLYPORT_ASSERT(!appending);
        appending = true;
        for (const auto& c : append->changes)
          written += c.key.size() + c.bytes().size();
        std::lock_guard lock{gate};
        to_append = std::move(*append);
        committing = true;
        wake_committer.notify_one();
      } else if (auto* reply = std::get_if<duty::reply>(&item)) {
        gather(*reply);
      } else if (auto* again = std::get_if<duty::reopen>(&item)) {
        to_reopen = std::move(*again);
        reopening = true;
      } else if (auto* stop = std::get_if<duty::stop>(&item)) {
        SALLYPORT_ASSERT(by_owner); // Appends that failed are the owner's.
        flush();
        return end(stop->why);
      } else if (auto* what = std::get_if<duty::alarm>(&item)) {
        alarm(what->what);
      }
    }
    flush();
  }

  /// A shard that is to be filled again does not judge an append of the life before.
  void end_unless_trusted(const append_outcome& o) {
    if (!ended && o.sync_failed)
      end("a sync failed while the store was to be opened again: " + o.detail);
    else if (!ended && o.status == append_status::fenced)
      end("another hub has taken the store over: " + o.detail);
  }

  /// The owner, when the shard has asked for it.
  void reopen() {
    while (to_reopen && !ended) {
      if (appending) { // Decided on in the old life: its outcome is read from the store.
        std::unique_lock lock{gate};
        owner_awaits_outcome = true;
        wake_owner.wait(lock, [&] { return outcome.has_value(); });
        owner_awaits_outcome = false;
        const auto of_old_life = *std::exchange(outcome, std::nullopt);
        lock.unlock();
        appending = false;
        end_unless_trusted(of_old_life);
        if (ended)
          break;
      }
      refill(*std::exchange(to_reopen, std::nullopt));
      if (!ended)
        carry_out();
    }
    finish_steps();
  }

  void finish_steps() {
    for (auto& s : std::exchange(stepped, {}))
      s->set_value();
  }

  void gather(duty::reply& reply) {
    auto node = waiting.extract(reply.to.value);
    if (node.empty())
      return; // Forgotten in the meantime.
    release(node.mapped());
    auto& from = node.mapped();
    auto& into = lacks_content(reply.what) ? unfetched : answered_on(from.lane);
    into.push_back({std::move(from.done), std::move(reply.what), from.lane});
  }

  std::vector<finished>& answered_on(unsigned lane) {
    if (lane >= answered.size())
      answered.resize(lane + 1);
    return answered[lane];
  }

  /// One job per 64 answers: encoding them is work for other threads, and waking one for each would cost more than the answer.
  void flush() {
    { // Room first: whoever is answered may ask again at once.
      std::lock_guard lock{gate};
      charged -= std::exchange(released, 0);
      charged_bytes -= std::exchange(released_bytes, 0);
      if (!unfetched.empty()) {
        std::move(unfetched.begin(), unfetched.end(), std::back_inserter(to_fetch));
        unfetched.clear();
        wake_clerk.notify_one();
      }
    }
    for (unsigned lane = 0; lane < answered.size(); ++lane) {
      auto& all = answered[lane];
      for (std::size_t from = 0; from < all.size(); from += 64) {
        const auto end = std::min(from + 64, all.size());
        auto some = std::make_shared<std::vector<finished>>(std::make_move_iterator(all.begin() + from),
                                                            std::make_move_iterator(all.begin() + end));
        hand_over(lane, [some] {
          for (auto& f : *some)
            f.done(std::move(f.what));
        });
      }
      all.clear();
    }
  }

  void hand_over(unsigned lane, std::function<void()> job) {
    if (ports.run)
      return ports.run(lane, std::move(job));
    std::lock_guard lock{gate};
    clerk_jobs.push_back(std::move(job));
    wake_clerk.notify_one();
  }

  /// Commands can no longer be carried out.
  void end(const std::string& why) {
    spdlog::critical("event=shard_stopped why=\"{}\"", why);
    ended = true;
    running = false;
    {
      std::lock_guard lock{gate};
      now_is = phase::closed;
    }
    if (ports.on_stop)
      ports.on_stop(why);
  }

  /// The owner is leaving: everybody still waiting gets an answer.
  void abandon() {
    {
      std::lock_guard lock{gate};
      now_is = phase::closed;
      std::move(mailbox.begin(), mailbox.end(), std::back_inserter(work));
      mailbox.clear();
    }
    for (auto& [_, from] : waiting)
      answered_on(from.lane).push_back(
        {std::move(from.done), make_error(errc::outcome_unknown, "the hub stopped before the outcome was known"), from.lane});
    waiting.clear();
    for (auto& e : work) {
      if (e.done)
        answered_on(e.lane).push_back(
          {std::move(e.done), refusal(errc::shutting_down, "try another hub, or this one later", 1), e.lane});
      if (e.seen)
        hand_over(e.lane, [seen = std::move(e.seen), v = view()] { seen(v); });
      if (e.stepped)
        e.stepped->set_value();
    }
    finish_steps();
    flush();
  }

  host_view view() {
    host_view v;
    v.counters = core.counters();
    v.epoch = core.epoch();
    v.space = space;
    v.room = room;
    v.reopened = reopened;
    std::lock_guard lock{gate};
    v.mailbox = std::exchange(charged_most, charged);
    v.mailbox_bytes = std::exchange(charged_bytes_most, charged_bytes);
    v.refused = refused;
    return v;
  }

  // ---- the committer -------------------------------------------------------------------------------------------------------------

  void commit() {
    for (;;) {
      std::optional<duty::append> job;
      {
        std::unique_lock lock{gate};
        wake_committer.wait(lock, [&] { return to_append || committer_ends; });
        if (!to_append)
          return;
        job.swap(to_append);
      }
      const auto began = steady::now();
      append_since = began.time_since_epoch().count();
      auto said = ports.store->append(job->epoch, job->tail, job->changes);
      append_since = 0;
      if (ports.meter)
        ports.meter->committed(steady::now() - began, job->changes.size(), said.status == append_status::durable);
      bool mine = false;
      {
        std::lock_guard lock{gate};
        outcome = std::move(said);
        committing = false;
        mine = take_desk();
        if (owner_awaits_outcome)
          wake_owner.notify_one();
      }
      if (mine)
        decide(true);
    }
  }

  /// A command of the host's own; nobody waits for its answer.
  void order(ask::bury what) {
    std::unique_lock lock{gate};
    if (now_is != phase::open)
      return;
    errand e;
    e.from = ticket{++last_ticket};
    e.order.scope.all = true;
    e.order.what = std::move(what);
    e.done = [](const answer&) {};
    ++charged;
    bring(std::move(lock), std::move(e));
  }

  // ---- the clerk -----------------------------------------------------------------------------------------------------------------

  void run_clerk() {
    for (;;) {
      std::vector<finished> fetching;
      std::vector<std::function<void()>> jobs;
      {
        std::unique_lock lock{gate};
        wake_clerk.wait(lock, [&] { return !to_fetch.empty() || !clerk_jobs.empty() || clerk_ends; });
        if (to_fetch.empty() && clerk_jobs.empty())
          return;
        fetching.swap(to_fetch);
        jobs.swap(clerk_jobs);
      }
      for (auto& job : jobs)
        job();
      for (auto& f : fetching) {
        std::vector<ask::bury> unreadable;
        {
          std::shared_lock lock{store_gate};
          unreadable = fetch_content(f.what, *ports.store);
        }
        for (auto& one : unreadable)
          order(std::move(one));
        if (ports.run)
          ports.run(f.lane, [f = std::make_shared<finished>(std::move(f))] { f->done(std::move(f->what)); });
        else
          f.done(std::move(f.what));
      }
    }
  }
};

shard_host::shard_host(const shard_host_settings& settings, shard_host_ports ports)
  : body_(std::make_unique<body>(settings, std::move(ports))) {
  SALLYPORT_ASSERT(body_->ports.store != nullptr);
  SALLYPORT_ASSERT(body_->ports.time != nullptr);
}

shard_host::~shard_host() {
  stop();
}

result<void> shard_host::start() {
  auto& b = *body_;
  SALLYPORT_ASSERT(!b.owner.joinable());
  if (auto filled = b.fill({}); !filled) {
    b.ports.store->close();
    return filled;
  }
  {
    std::lock_guard lock{b.gate}; // Others may be asking already, and are answered not_ready.
    b.now_is = body::phase::open;
  }
  b.running = true;
  b.owner = std::thread{[&b] { b.own(); }};
  b.committer = std::thread{[&b] { b.commit(); }};
  b.clerk = std::thread{[&b] { b.run_clerk(); }};
  pthread_setname_np(b.owner.native_handle(), "hub-shard");
  pthread_setname_np(b.committer.native_handle(), "hub-committer");
  pthread_setname_np(b.clerk.native_handle(), "hub-clerk");
  return {};
}

ticket shard_host::submit(command what, std::uint64_t bytes, completion done) {
  auto& b = *body_;
  std::unique_lock lock{b.gate};
  const auto reserve = has_reserve(what) ? 4 : 0; // Quarters.
  const bool lazy = can_wait(what);
  if (b.now_is != body::phase::open) {
    const bool filling = b.now_is == body::phase::filling;
    lock.unlock();
    done(filling ? refusal(errc::not_ready, "try again in a moment", 1)
                 : refusal(errc::shutting_down, "try again in a moment", 1));
    return {};
  }
  const auto most = b.settings.mailbox + (reserve ? b.settings.mailbox / reserve + 1 : 0);
  const auto most_bytes = b.settings.mailbox_bytes + (reserve ? b.settings.mailbox_bytes / reserve : 0);
  if (b.charged >= most || (b.charged > 0 && b.charged_bytes + bytes > most_bytes)) {
    ++b.refused;
    lock.unlock();
    done(refusal(errc::too_many_requests, "as many commands wait for the hub's disk as it accepts", 1));
    return {};
  }
  const ticket from{++b.last_ticket};
  errand e;
  e.from = from;
  e.bytes = bytes;
  e.lane = b.own_lane();
  e.order = std::move(what);
  e.done = std::move(done);
  b.charged_most = std::max(b.charged_most, ++b.charged);
  b.charged_bytes_most = std::max(b.charged_bytes_most, b.charged_bytes += bytes);
  b.bring(std::move(lock), std::move(e), lazy);
  return from;
}

void shard_host::forget(ticket from) {
  auto& b = *body_;
  std::unique_lock lock{b.gate};
  if (from.value == 0 || b.now_is != body::phase::open)
    return;
  errand e;
  e.what = errand::kind::forget;
  e.from = from;
  b.bring(std::move(lock), std::move(e));
}

void shard_host::inspect(std::function<void(host_view)> done) {
  auto& b = *body_;
  std::unique_lock lock{b.gate};
  if (b.now_is != body::phase::open) {
    lock.unlock();
    return done({});
  }
  errand e;
  e.what = errand::kind::inspect;
  e.seen = std::move(done);
  e.lane = b.own_lane();
  b.bring(std::move(lock), std::move(e));
}

std::string shard_host::why_not_ready() const {
  const auto& b = *body_;
  if (!b.running)
    return "the store is not open";
  {
    std::lock_guard lock{body_->gate};
    if (b.now_is == body::phase::closed)
      return "the hub is stopping";
  }
  if (b.reopening)
    return "the store is being opened again";
  if (auto since = b.append_since.load();
      since != 0 && steady::now().time_since_epoch() - steady::duration{since} > b.settings.stuck_after)
    return "an append to the store has not returned for a long time";
  return {};
}

void shard_host::step() {
  auto& b = *body_;
  auto stepped = std::make_shared<std::promise<void>>();
  auto future = stepped->get_future();
  std::unique_lock lock{b.gate};
  if (b.now_is != body::phase::open)
    return;
  errand e;
  e.what = errand::kind::step;
  e.stepped = std::move(stepped);
  b.bring(std::move(lock), std::move(e));
  future.wait();
}

void shard_host::stop() {
  auto& b = *body_;
  if (!b.owner.joinable())
    return;
  {
    std::lock_guard lock{b.gate};
    if (b.now_is == body::phase::open) {
      b.now_is = body::phase::closed;
      b.owner_decides = true;
      errand e;
      e.what = errand::kind::drain;
      b.mailbox.push_back(std::move(e));
    }
    b.wake_owner.notify_one();
  }
  b.owner.join();
  {
    std::lock_guard lock{b.gate};
    b.committer_ends = b.clerk_ends = true;
  }
  b.wake_committer.notify_one();
  b.committer.join();
  b.wake_clerk.notify_one();
  b.clerk.join();
  b.ports.store->close();
  spdlog::info("event=shard_closed");
}

} // namespace sallyport::cloud

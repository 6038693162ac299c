#include "tests/sim/hub.hpp"

#include "cloud/core/content_keys.hpp"
#include "protocol/probe.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace cloud;

hub::hub(stage& s, history& h, shard_settings settings) : stage_(s), history_(h), mouth_(s, h), settings_(std::move(settings)) {
  start();
}

void hub::start() {
  paused_until_ = {}; // That was another process.
  core_ = std::make_unique<shard>(settings_);
  reopen({static_cast<std::uint64_t>(stage_.now().wall.time_since_epoch().count())});
}

void hub::reopen(epoch_number at_least) {
  ++life_;
  turn_at_ = mono_time::max();
  appending_ = false;
  reopen_after_append_.reset();
  if (store_)
    store_->close();
  store_ = std::make_unique<memory_store>(disk_);
  auto opened = store_->open(at_least);
  SALLYPORT_ASSERT(opened.ok());
  core_->reopened(*opened);
  auto replayed = store_->replay([&](std::string_view key, std::string_view value) {
    if (!core_->restore(key, value))
      history_.violate("store", "a record the hub wrote itself cannot be read back");
  });
  SALLYPORT_ASSERT(replayed.ok());
  core_->started(stage_.now());
  history_.epochs.push_back({opened->epoch, stage_.steps(), stage_.now().wall});
  stage_.say(fmt::format("hub opens, epoch {}", opened->epoch.value));
  plan_turn(milliseconds{1});
}

void hub::crash() {
  stage_.say("hub dies");
  ++history_.crashes;
  ++life_; // finish_append() of the old life decides for itself whether it reached the disk.
  core_ = nullptr;
  waiting_.clear();
  arrived_.clear();
}

void hub::pause(milliseconds how_long, bool deaf) {
  if (!up())
    return;
  stage_.say(fmt::format("the hub stands still for {} ms{}", how_long.count(), deaf ? ", and nothing reaches it" : ""));
  const auto now = stage_.now();
  if (now.mono >= paused_until_)
    paused_from_ = now.mono;
  paused_until_ = std::max(paused_until_, now.mono + how_long);
  deaf_ = deaf;
  ++history_.faults;
  stage_.after(paused_until_ - now.mono, [this, life = life_, until = paused_until_] {
    if (life == life_ && up() && until == paused_until_)
      history_.standstills.push_back({stage_.now().mono - paused_from_, stage_.now().wall});
  });
}

void hub::arrive(command what, completion done) {
  if (!up() || (deaf_ && stage_.now().mono < paused_until_))
    return;
  const ticket t{next_ticket_++};
  waiting_.emplace(t.value, [this, heard = mouth_.arrived(what), done = std::move(done)](answer a) {
    mouth_.said(heard, a);
    done(std::move(a));
  });
  arrived_.emplace_back(t, std::move(what));
  plan_turn(stage_.between(0, 2));
}

void hub::plan_turn(milliseconds wait) {
  const auto at = stage_.now().mono + wait;
  if (turn_at_ <= at && turn_at_ >= stage_.now().mono)
    return;
  turn_at_ = at;
  stage_.after(wait, [this, life = life_, at] {
    if (life == life_ && turn_at_ == at)
      turn_at_ = mono_time::max();
    if (life == life_ && up())
      turn();
  });
}

void hub::turn() {
  if (stage_.now().mono < paused_until_)
    return plan_turn(paused_until_ - stage_.now().mono);
  if (SALLYPORT_MUTANT(sweep_before_arrivals))
    core_->tick(stage_.now());
  for (auto& [t, what] : std::exchange(arrived_, {}))
    core_->submit(t, std::move(what), stage_.now());
  core_->tick(stage_.now());
  std::optional<epoch_number> again;
  for (auto& d : core_->take_duties()) {
    if (auto* r = std::get_if<duty::reply>(&d)) {
      auto found = waiting_.find(r->to.value);
      if (found == waiting_.end())
        history_.violate("same_answer", "an answer was given twice, or to nobody");
      else {
        auto done = std::move(found->second);
        waiting_.erase(found);
        fetch_events(r->what);
        done(std::move(r->what));
      }
    } else if (auto* a = std::get_if<duty::append>(&d)) {
      if (appending_)
        history_.violate("store", "two appends under way at once");
      appending_ = true;
      stage_.after(stage_.between(0, 5), [this, life = life_, append = std::make_shared<duty::append>(std::move(*a))] {
        finish_append(std::move(*append), life);
      });
    } else if (auto* o = std::get_if<duty::reopen>(&d)) {
      again = o->at_least;
    }
  }
  if (again && appending_)
    reopen_after_append_ = again;
  else if (again)
    reopen(*again);
  if (up())
    plan_turn(std::max(milliseconds{1}, std::min(milliseconds{500}, core_->next_wake() - stage_.now().mono)));
}

void hub::fetch_events(answer& what) {
  auto* claim = std::get_if<wire::claim_reply>(&what);
  if (!claim)
    return;
  for (auto& g : claim->grants)
    if (!g.event)
      g.event = *store_->fetch(event_key(g.message));
  // Cancelled or expired between its grant and the answer: there is nothing left to work on.
  std::erase_if(claim->grants, [](const wire::grant& g) { return !g.event; });
}

void hub::finish_append(duty::append what, std::uint64_t life) {
  if (life != life_) { // The process has died since: perhaps the disk had it, perhaps not.
    if (stage_.one_in(2) && !up()) {
      stage_.say("the append under way had reached the disk");
      store_->append(what.epoch, what.tail, what.changes);
    }
    return;
  }
  append_outcome outcome;
  if (std::exchange(fail_next_, false)) {
    ++history_.faults;
    outcome.status = stage_.one_in(2) ? append_status::unknown : append_status::failed;
    const bool applied = outcome.status == append_status::unknown && stage_.one_in(2);
    stage_.say(fmt::format("an append ends {}{}", outcome.status == append_status::unknown ? "unknown" : "failed",
                           applied ? ", though it is on the disk" : ""));
    if (applied)
      store_->append(what.epoch, what.tail, what.changes);
  } else {
    outcome = store_->append(what.epoch, what.tail, what.changes);
    if (outcome.status != append_status::durable)
      history_.violate("store", "an append of the only owner was refused");
  }
  appending_ = false;
  if (reopen_after_append_)
    return reopen(*reopen_after_append_);
  core_->appended(outcome, stage_.now());
  turn();
}

answer hub::ask(decltype(command::what) what) {
  std::optional<answer> got;
  arrive({{true, {}}, stage_.roll(), std::move(what)}, [&](answer a) { got = std::move(a); });
  for (int i = 0; i < 10'000 && !got; ++i)
    if (!stage_.step())
      break;
  if (!got) {
    history_.violate("drained", "the hub did not answer");
    return error{};
  }
  return std::move(*got);
}

} // namespace sallyport::sim

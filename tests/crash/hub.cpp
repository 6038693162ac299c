#include "tests/crash/hub.hpp"

#include "cloud/core/content_keys.hpp"
#include "protocol/assert.hpp"

#include <algorithm>

namespace sallyport::crash {

using namespace cloud;

hub::hub(std::filesystem::path directory, const instant& now, mistakes planted)
  : directory_(std::move(directory)),
    now_(now),
    planted_(planted) {}

shard_settings hub::settings() {
  shard_settings s;
  s.session_ttl = milliseconds{10'000};
  s.policy.max_attempts = 3;
  s.policy.backoff_min = milliseconds{400};
  s.policy.backoff_max = milliseconds{5'000};
  s.payload_cache_bytes = 8'000; // Most payloads are fetched from the store, as in a hub that has been full for a while.
  return s;
}

result<void> hub::open(clock at) {
  // The smallest map there is: an image is small then, and grows into its edge soon. A journal that is soon at its end, and appends on
  // either side of what it takes.
  store_ = std::make_unique<journaled_store>(lmdb_settings{.directory = directory_, .map_bytes = std::uint64_t{4} << 20},
                                             journal_settings{.bytes = 64 << 10, .batch_bytes = 4 << 10});
  core_ = std::make_unique<shard>(settings());
  const auto wall = at == clock::right ? static_cast<std::uint64_t>(now_.wall.time_since_epoch().count()) : 0;
  auto opened = store_->open({wall});
  if (!opened) {
    stop(to_string(opened.err()));
    return opened.err();
  }
  core_->reopened(*opened);
  bool understood = true;
  auto replayed =
    store_->replay([&](std::string_view key, std::string_view value) { understood = understood && core_->restore(key, value); });
  if (replayed && !understood)
    replayed = result<void>{make_error(errc::store_damaged, "a record is not understood")};
  if (!replayed) {
    stop(to_string(replayed.err()));
    return replayed;
  }
  core_->started(now_);
  look_at_space();
  if (on_open)
    on_open(*opened);
  return {};
}

void hub::close() {
  append_.reset();
  if (store_)
    store_->close();
  store_ = nullptr;
  core_ = nullptr;
}

void hub::stop(const std::string& why) {
  if (why_stopped_.empty())
    why_stopped_ = why;
}

ticket hub::submit(command_body what, std::uint64_t entropy) {
  const ticket t{next_ticket_++};
  core_->submit(t, {{true, {}}, entropy, std::move(what)}, now_);
  return t;
}

void hub::turn() {
  core_->tick(now_);
  look_at_space();
  carry_out();
}

void hub::commit() {
  if (!append_)
    return;
  auto job = *std::exchange(append_, std::nullopt);
  auto said = store_->append(job.epoch, job.tail, job.changes);
  if (planted_.believe_failed_appends && said.status != append_status::durable)
    said = {append_status::durable, job.tail + 1, {}};
  core_->appended(said, now_);
  if (said.status != append_status::durable)
    carry_out(); // Before anything else is decided on a memory that is ahead of the disk.
  if (is_up() && said.status == append_status::full)
    look_at_space();
  if (is_up())
    carry_out();
}

void hub::carry_out() {
  std::optional<duty::reopen> reopen;
  std::vector<duty::reply> replies;
  for (auto& item : core_->take_duties()) {
    if (auto* append = std::get_if<duty::append>(&item)) {
      SALLYPORT_ASSERT(!append_);
      append_ = std::move(*append);
    } else if (auto* reply = std::get_if<duty::reply>(&item)) {
      replies.push_back(std::move(*reply));
    } else if (auto* again = std::get_if<duty::reopen>(&item)) {
      reopen = std::move(*again);
    } else if (auto* end = std::get_if<duty::stop>(&item)) {
      release(replies);
      return stop(end->why);
    }
  }
  release(replies);
  if (!reopen)
    return;
  if (append_) { // Decided on in the old life: its outcome is read from the store.
    const auto job = *std::exchange(append_, std::nullopt);
    if (store_->append(job.epoch, job.tail, job.changes).sync_failed)
      return stop("a sync failed while the store was to be opened again");
  }
  refill(reopen->at_least);
  if (is_up())
    carry_out();
}

void hub::refill(epoch_number at_least) {
  // The host tries for a while, unless it is hopeless.
  for (int tries = 0; tries < 3; ++tries) {
    store_->close();
    const auto wall = static_cast<std::uint64_t>(now_.wall.time_since_epoch().count());
    auto opened = store_->open(std::max(at_least, epoch_number{wall}));
    if (!opened) {
      if (opened.err().code == errc::store_damaged || opened.err().code == errc::store_newer)
        return stop("the store could not be opened again: " + to_string(opened.err()));
      continue;
    }
    core_->reopened(*opened);
    bool understood = true;
    auto replayed = store_->replay(
      [&](std::string_view key, std::string_view value) { understood = understood && core_->restore(key, value); });
    if (!replayed || !understood)
      return stop("the store could not be read again");
    core_->started(now_);
    look_at_space();
    if (on_open)
      on_open(*opened);
    return;
  }
  stop("the store could not be opened again");
}

void hub::look_at_space() {
  const auto space = store_->space();
  core_->set_room(space.admits(0), "the store is full");
}

void hub::release(std::vector<duty::reply>& replies) {
  for (auto& r : replies) {
    if (auto* claim = std::get_if<wire::claim_reply>(&r.what)) {
      bool failed = false;
      for (auto& g : claim->grants)
        if (!g.event) {
          auto got = store_->fetch(event_key(g.message));
          failed = failed || !got;
          if (got)
            g.event = *got;
        }
      // Cancelled or expired between its grant and the answer: there is nothing left to work on.
      std::erase_if(claim->grants, [](const wire::grant& g) { return !g.event; });
      if (failed)
        r.what = make_error(errc::internal, "content could not be read from the store; ask again");
    }
    if (on_answer)
      on_answer(r.to, std::move(r.what));
  }
  replies.clear();
}

} // namespace sallyport::crash

#include "cloud/store/journaled.hpp"

#include "cloud/store/journal.hpp"
#include "protocol/assert.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>

namespace sallyport::cloud {
namespace {

/// Changes that are on disk in the journal and not yet in LMDB: for each key the last one. A null value is a deletion.
class pending_changes {
public:
  using value = std::shared_ptr<const std::string>;

  [[nodiscard]] bool empty() const { return meta_.empty() && content_.empty(); }
  [[nodiscard]] std::uint64_t keys() const { return meta_.size() + content_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  /// Keys beyond these are not in LMDB, so that their deletion leaves nothing to be done. Unless this was called, any may be.
  void set_known(const result<std::string>& last_meta, const result<std::string>& last_content) {
    last_meta_ = last_meta ? *last_meta : any_key();
    last_content_ = last_content ? *last_content : any_key();
  }

  [[nodiscard]] bool may_be_stored(tree where, std::string_view key) const {
    return key <= (where == tree::meta ? last_meta_ : last_content_);
  }

  void add(const change& c) {
    auto& records = c.where == tree::meta ? meta_ : content_;
    const std::string_view key = c.key;
    auto at = records.lower_bound(key);
    const bool known = at != records.end() && at->first == key;
    if (known)
      bytes_ -= size_of(*at);
    if (c.what == change::kind::del && !may_be_stored(c.where, key)) {
      if (known)
        records.erase(at);
      return;
    }
    if (!known)
      at = records.emplace_hint(at, std::string{key}, nullptr);
    at->second = c.what == change::kind::del ? nullptr
                 : c.shared_value            ? c.shared_value
                                             : std::make_shared<const std::string>(c.value);
    bytes_ += size_of(*at);
  }

  /// Nothing: the content of that key is as LMDB has it. Null: it was deleted.
  [[nodiscard]] std::optional<value> content(std::string_view key) const {
    const auto at = content_.find(key);
    return at == content_.end() ? std::nullopt : std::optional{at->second};
  }

  /// In the order of keys, which LMDB likes best.
  [[nodiscard]] batch changes() const {
    batch all;
    all.reserve(keys());
    for (const auto where : {tree::meta, tree::content})
      for (const auto& [key, value] : where == tree::meta ? meta_ : content_)
        all.push_back({where, value ? change::kind::put : change::kind::del, record_key{key}, {}, value});
    return all;
  }

  void clear() {
    meta_.clear();
    content_.clear();
    bytes_ = 0;
  }

private:
  using record_map = std::map<std::string, value, std::less<>>;
  static std::string any_key() { return std::string(key_bytes_max, '\xff'); }
  static std::uint64_t size_of(const record_map::value_type& r) { return r.first.size() + (r.second ? r.second->size() : 0); }

  record_map meta_, content_;
  std::string last_meta_ = any_key(), last_content_ = any_key();
  std::uint64_t bytes_ = 0; // Keys and values.
};

/// A checkpoint of so many keys takes some milliseconds, in which the next append waits.
constexpr std::uint64_t pending_keys_max = 8'192;

std::uint64_t bytes_of(const batch& changes) {
  std::uint64_t bytes = 0;
  for (const auto& c : changes)
    bytes += c.key.size() + c.bytes().size();
  return bytes;
}

} // namespace

struct journaled_store::body {
  body(lmdb_settings s, journal_settings j) : settings(j), inner(s), file(s.directory / "store.journal", j.bytes) {}

  result<opened_store> recover(opened_store opened);
  int room_to_journal(const batch& changes);
  append_outcome append_to_journal(const batch& changes);
  append_outcome append_to_store(const batch& changes);
  append_outcome checkpoint();
  void settle(std::uint64_t tail);
  append_outcome broken(append_outcome o);

  const journal_settings settings;
  lmdb_store inner;
  journal file;

  // The committer's.
  bool is_open = false, is_broken = false;
  epoch_number epoch;
  std::uint64_t tail = 0, stored_tail = 0; // Of all that is durable, and of what LMDB has of it.
  std::uint64_t pending_removed = 0;       // Bytes of content in LMDB that pending changes delete or write over; or more.

  // Changed by the committer under the lock held alone, read by any thread that shares it.
  std::shared_mutex gate;
  pending_changes pending;
};

journaled_store::journaled_store(lmdb_settings settings, journal_settings journal)
  : body_(std::make_unique<body>(std::move(settings), journal)) {}

journaled_store::~journaled_store() {
  close();
}

// ---------------------------------------------------------------------------------------------------------------- opening

result<opened_store> journaled_store::open(epoch_number at_least) {
  auto& b = *body_;
  SALLYPORT_ASSERT(!b.is_open);
  // A journal that is there is locked first: who is refused by it must not have raised the epoch of its owner.
  std::error_code ignored;
  if (std::filesystem::exists(b.file.file(), ignored))
    if (auto ready = b.file.open(); !ready) {
      if (ready.err().code == errc::store_locked)
        if (auto owner = lmdb_files::take_ownership(b.file.file().parent_path()); !owner)
          return owner.err(); // Which names the process.
      return ready.err();
    }
  auto opened = b.inner.open(at_least);
  if (!opened) {
    b.file.close();
    return opened;
  }
  auto recovered = b.recover(*opened);
  if (!recovered) {
    b.file.close();
    b.inner.close();
    return recovered;
  }
  b.epoch = recovered->epoch;
  b.is_open = true;
  b.is_broken = false;
  b.settle(recovered->tail);
  return recovered;
}

// From here on nothing of the journal counts: its records have lower tails than the store.
result<opened_store> journaled_store::body::recover(opened_store opened) {
  if (!file.is_open()) {
    if (settings.bytes == 0)
      return opened;
    if (auto ready = file.open(); !ready) {
      if (file.reason() != ENOSPC && file.reason() != EDQUOT)
        return ready.err();
      return opened; // A full disk must not keep the owner out: it comes to drain, and can do so without.
    }
  }
  pending_changes found;
  found.set_known(inner.last_key(tree::meta), inner.last_key(tree::content));
  auto last = opened.tail;
  auto read = file.recover(opened.tail, [&](std::uint64_t new_tail, const batch& changes) {
    for (const auto& c : changes)
      found.add(c);
    last = new_tail;
  });
  if (!read)
    return read.err();
  if (last == opened.tail)
    return opened;
  const auto outcome = inner.append_many(opened.epoch, opened.tail, last, found.changes());
  if (outcome.status != append_status::durable)
    return {errc::store_io, "cannot bring the journal's appends into the store: " + outcome.detail};
  return opened_store{opened.epoch, last};
}

void journaled_store::close() {
  auto& b = *body_;
  if (!b.is_open)
    return;
  // So that store.mdb alone is the store while nobody has it open. If it fails the journal still has everything.
  if (!b.is_broken && b.tail != b.stored_tail)
    (void)b.checkpoint();
  if (!b.is_broken)
    b.file.discard();
  std::unique_lock lock{b.gate};
  b.is_open = false;
  b.pending.clear();
  b.file.close();
  b.inner.close();
}

// -------------------------------------------------------------------------------------------------------------- appending

append_outcome journaled_store::append(epoch_number epoch, std::uint64_t tail, const batch& changes) {
  auto& b = *body_;
  if (!b.is_open)
    return {append_status::failed, 0, "the store is not open"};
  if (b.is_broken)
    return {append_status::failed, 0, "the store must be reopened after an earlier failure"};
  if (auto refused = fenced({b.epoch, b.tail}, epoch, tail))
    return *std::move(refused);

  const int room = b.room_to_journal(changes);
  if (room != 0 && room != ENOSPC)
    return b.broken({append_status::unknown, 0, "cannot extend the file: " + std::string{std::strerror(room)}, true});
  if (room == 0) {
    auto outcome = b.append_to_journal(changes);
    if (outcome.status != append_status::full)
      return outcome;
  }
  return b.append_to_store(changes);
}

/// 0 when it is small, and LMDB will certainly take it one day together with all that is pending; ENOSPC when not; else what went wrong.
int journaled_store::body::room_to_journal(const batch& changes) {
  const auto bytes = bytes_of(changes);
  const auto keys = pending.keys() + changes.size();
  if (settings.bytes == 0 || !file.is_open() || bytes > settings.batch_bytes || changes.size() > settings.batch_changes
      || keys > pending_keys_max)
    return ENOSPC;
  // What a deletion costs LMDB is what it deletes: each piece of a long value lies in a page of its own.
  const bool removes = std::any_of(changes.begin(), changes.end(), [this](const change& c) {
    return c.where == tree::content && pending.may_be_stored(c.where, c.key);
  });
  const auto under = removes ? inner.content_bytes_under(changes) : result<std::uint64_t>{0};
  if (!under)
    return ENOSPC; // LMDB may say what is wrong with it.
  const int rc = inner.promise_room(keys, pending.bytes() + pending_removed + bytes + *under);
  if (rc == 0)
    pending_removed += *under;
  return rc;
}

append_outcome journaled_store::body::append_to_journal(const batch& changes) {
  switch (file.append(epoch, tail, changes)) {
    case journal::verdict::no_room: return {append_status::full, 0, "the journal has no room"};
    case journal::verdict::failed:
      return broken(
        {append_status::unknown, 0, "the journal could not be written: " + std::string{std::strerror(file.reason())}});
    case journal::verdict::sync_failed:
      return broken(
        {append_status::unknown, 0, "the journal could not be synced: " + std::string{std::strerror(file.reason())}, true});
    case journal::verdict::durable: break;
  }
  std::lock_guard lock{gate};
  for (const auto& c : changes)
    pending.add(c);
  return {append_status::durable, ++tail, {}};
}

// One commit for what is pending and the batch; where the two do not go together, two.
append_outcome journaled_store::body::append_to_store(const batch& changes) {
  if (!pending.empty()) {
    auto outcome = inner.append_many(epoch, stored_tail, tail + 1, pending.changes(), changes);
    if (outcome.status != append_status::full)
      return outcome.status == append_status::durable ? (settle(tail + 1), outcome) : broken(std::move(outcome));
    if (auto alone = checkpoint(); alone.status != append_status::durable)
      return alone;
  }
  auto outcome = inner.append_many(epoch, stored_tail, tail + 1, changes);
  if (outcome.status == append_status::durable)
    settle(tail + 1);
  else if (outcome.status == append_status::unknown)
    return broken(std::move(outcome));
  return outcome;
}

append_outcome journaled_store::body::checkpoint() {
  auto outcome = inner.append_many(epoch, stored_tail, tail, pending.changes());
  if (outcome.status == append_status::durable)
    settle(tail);
  else // Acknowledged, and only the journal has it: nothing may be decided on top of that.
    outcome = broken(std::move(outcome));
  return outcome;
}

/// LMDB has everything up to this tail.
void journaled_store::body::settle(std::uint64_t new_tail) {
  const auto last_meta = inner.last_key(tree::meta), last_content = inner.last_key(tree::content);
  file.rewind();
  tail = stored_tail = new_tail;
  pending_removed = 0;
  std::lock_guard lock{gate};
  pending.clear();
  pending.set_known(last_meta, last_content);
}

append_outcome journaled_store::body::broken(append_outcome o) {
  is_broken = true;
  return o;
}

// ---------------------------------------------------------------------------------------------------------------- reading

result<void> journaled_store::replay(const std::function<void(std::string_view, std::string_view)>& visitor) {
  auto& b = *body_;
  if (!b.is_open)
    return {errc::store_io, "the store is not open"};
  if (!b.pending.empty())
    if (const auto outcome = b.checkpoint(); outcome.status != append_status::durable)
      return {errc::store_io, "cannot bring the journal's appends into the store: " + outcome.detail};
  return b.inner.replay(visitor);
}

result<std::shared_ptr<const std::string>> journaled_store::fetch(std::string_view key) {
  auto& b = *body_;
  {
    std::shared_lock lock{b.gate};
    if (const auto found = b.pending.content(key))
      return *found;
  }
  return b.inner.fetch(key); // What is settled in between is found here.
}

store_space journaled_store::space() {
  auto& b = *body_;
  auto space = b.inner.space();
  std::shared_lock lock{b.gate};
  space.used_bytes += space.used_bytes ? b.pending.bytes() : 0;
  return space;
}

} // namespace sallyport::cloud

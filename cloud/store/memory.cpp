#include "cloud/store/memory.hpp"

#include "protocol/assert.hpp"

#include <algorithm>

namespace sallyport::cloud {
namespace {

std::shared_ptr<const std::string> bytes_of(const change& c) {
  return c.shared_value ? c.shared_value : std::make_shared<const std::string>(c.value);
}

} // namespace

void memory_disk::set_capacity(std::uint64_t bytes, std::uint64_t reserve_bytes) {
  std::lock_guard guard{mutex_};
  capacity_ = bytes;
  reserve_ = reserve_bytes;
}

void memory_disk::fail_next_append(append_outcome outcome, bool applied) {
  SALLYPORT_ASSERT(outcome.status != append_status::durable);
  SALLYPORT_ASSERT(!applied || outcome.status == append_status::unknown);
  std::lock_guard guard{mutex_};
  next_append_ = ordered_append{std::move(outcome), applied};
}

void memory_disk::fail_next_open(error fault) {
  std::lock_guard guard{mutex_};
  next_open_ = std::move(fault);
}

void memory_disk::fail_next_fetch(error fault) {
  std::lock_guard guard{mutex_};
  next_fetch_ = std::move(fault);
}

std::map<std::string, std::string> memory_disk::records(tree where) const {
  std::lock_guard guard{mutex_};
  std::map<std::string, std::string> copy;
  for (const auto& [key, value] : where == tree::meta ? meta_ : content_)
    copy.emplace(key, *value);
  return copy;
}

std::uint64_t memory_disk::appends() const {
  std::lock_guard guard{mutex_};
  return appends_;
}

append_outcome memory_disk::append(epoch_number epoch, std::uint64_t tail, const batch& changes) {
  if (auto refused = fenced({{epoch_}, tail_}, epoch, tail))
    return *std::move(refused);

  // What each touched record was, the first time it was touched: to take everything back if the whole does not fit.
  struct undo_entry {
    record_map* records;
    const record_key* key;
    std::shared_ptr<const std::string> before;
  };
  std::vector<undo_entry> undo;
  undo.reserve(changes.size());
  auto used = used_;
  for (const auto& c : changes) {
    SALLYPORT_ASSERT(!c.key.empty() && c.key.size() <= 400);
    auto& records = records_of(c.where);
    auto found = records.find(std::string_view{c.key});
    undo.push_back({&records, &c.key, found == records.end() ? nullptr : found->second});
    if (found != records.end()) {
      used -= found->first.size() + found->second->size();
      records.erase(found);
    }
    if (c.what == change::kind::put) {
      used += c.key.size() + c.bytes().size();
      records.emplace(std::string_view{c.key}, bytes_of(c));
    }
  }
  if (used > used_ && used > capacity_) {
    for (auto entry = undo.rbegin(); entry != undo.rend(); ++entry) {
      if (const auto now = entry->records->find(std::string_view{*entry->key}); now != entry->records->end())
        entry->records->erase(now);
      if (entry->before)
        entry->records->emplace(std::string_view{*entry->key}, std::move(entry->before));
    }
    return {append_status::full, 0,
            "the batch would bring the store to " + std::to_string(used) + " of " + std::to_string(capacity_) + " bytes"};
  }
  used_ = used;
  ++appends_;
  return {append_status::durable, ++tail_, {}};
}

result<opened_store> memory_store::open(epoch_number at_least) {
  std::lock_guard guard{disk_->mutex_};
  SALLYPORT_ASSERT(!open_);
  if (auto fault = std::exchange(disk_->next_open_, std::nullopt))
    return *std::move(fault);
  disk_->epoch_ = std::max(disk_->epoch_ + 1, at_least.value);
  open_ = true;
  return opened_store{{disk_->epoch_}, disk_->tail_};
}

result<void> memory_store::replay(const std::function<void(std::string_view, std::string_view)>& visitor) {
  // The visitor runs without the lock, so that it may fetch; nobody appends meanwhile, for that is the replaying thread's own
  // right.
  memory_disk::record_map meta;
  {
    std::lock_guard guard{disk_->mutex_};
    if (!open_)
      return {errc::store_io, "the store is not open"};
    meta = disk_->meta_;
  }
  for (const auto& [key, value] : meta)
    visitor(key, *value);
  return {};
}

append_outcome memory_store::append(epoch_number epoch, std::uint64_t tail, const batch& changes) {
  std::lock_guard guard{disk_->mutex_};
  if (!open_)
    return {append_status::failed, 0, "the store is not open"};
  if (auto ordered = std::exchange(disk_->next_append_, std::nullopt)) {
    if (ordered->applied)
      disk_->append(epoch, tail, changes);
    return std::move(ordered->outcome);
  }
  return disk_->append(epoch, tail, changes);
}

result<std::shared_ptr<const std::string>> memory_store::fetch(std::string_view key) {
  std::lock_guard guard{disk_->mutex_};
  if (!open_)
    return {errc::store_io, "the store is not open"};
  if (auto fault = std::exchange(disk_->next_fetch_, std::nullopt))
    return *std::move(fault);
  const auto found = disk_->content_.find(key);
  return found == disk_->content_.end() ? nullptr : found->second;
}

store_space memory_store::space() {
  std::lock_guard guard{disk_->mutex_};
  const auto free = disk_->capacity_ > disk_->used_ ? disk_->capacity_ - disk_->used_ : 0;
  return {disk_->used_, disk_->capacity_, free, disk_->reserve_};
}

void memory_store::close() {
  std::lock_guard guard{disk_->mutex_};
  open_ = false;
}

} // namespace sallyport::cloud

#include "cloud/core/message_index.hpp"

#include <algorithm>

namespace sallyport::cloud {

slot message_index::find(message_id id) const {
  const auto at = pages_.find(page_of(id));
  return at == pages_.end() ? nowhere : at->second.slots[id.serial % page_ids];
}

bool message_index::insert(message_id id, slot s) {
  auto& p = pages_[page_of(id)];
  if (!p.slots) {
    p.slots = std::make_unique_for_overwrite<slot[]>(page_ids);
    std::fill_n(p.slots.get(), page_ids, nowhere);
  }
  auto& place = p.slots[id.serial % page_ids];
  if (place != nowhere)
    return false;
  place = s;
  ++p.used;
  return true;
}

void message_index::erase(message_id id) {
  const auto at = pages_.find(page_of(id));
  if (at == pages_.end())
    return;
  auto& p = at->second;
  if (std::exchange(p.slots[id.serial % page_ids], nowhere) != nowhere && --p.used == 0)
    pages_.erase(at);
}

} // namespace sallyport::cloud

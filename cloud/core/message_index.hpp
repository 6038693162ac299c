// Messages by id. Ids rise one by one within an epoch, and who asks for one asks for its neighbours soon: so slots lie in pages of 256
// neighbouring ids, and only pages are hashed. A table of the messages themselves is a miss of the cache for every look, and is made anew,
// all of it at once, whenever it has grown too small. PURE.
//
// A page stays while one of its messages does: at worst, where one of 256 is left, 1 KiB for each. Owned by the lease table.
#pragma once

#include "cloud/core/model.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include <memory>
#include <utility>

namespace sallyport::cloud {

class message_index {
public:
  /// nowhere: there is none.
  [[nodiscard]] slot find(message_id id) const;
  /// False, and nothing is changed, when the id is there.
  bool insert(message_id id, slot s);
  /// One that is not there is none to be erased.
  void erase(message_id id);
  [[nodiscard]] std::size_t pages() const { return pages_.size(); }

private:
  static constexpr std::uint64_t page_ids = 256;
  struct page {
    std::unique_ptr<slot[]> slots;
    std::uint32_t used = 0;
  };
  static message_id page_of(message_id id) { return {id.epoch, id.serial / page_ids}; }

  boost::unordered_flat_map<message_id, page, std::hash<message_id>> pages_; // By epoch and page number.
};

} // namespace sallyport::cloud

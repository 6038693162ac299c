// The messages of a table by slot: in blocks that stay where they are, each made when it is needed. A deque's blocks hold four messages,
// so that of ten million every look begins with a look into a table of its own that no cache holds. PURE.
//
// Grows and never shrinks: the table hands its free slots out again.
#pragma once

#include "cloud/core/model.hpp"

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace sallyport::cloud {

class message_slab {
public:
  message_slab() = default;
  message_slab(const message_slab&) = delete;
  message_slab& operator=(const message_slab&) = delete;
  ~message_slab() {
    for (slot s = 0; s < size_; ++s)
      (*this)[s].~message();
  }

  [[nodiscard]] message& operator[](slot s) { return *at(s); }
  [[nodiscard]] const message& operator[](slot s) const { return *at(s); }
  [[nodiscard]] slot size() const { return size_; }
  /// A new one behind all others. References to those stay good.
  slot add() {
    if (size_ % block_messages == 0)
      blocks_.push_back(std::unique_ptr<block>{new block}); // Its bytes are left as they are.
    new (blocks_.back()->bytes + (size_ % block_messages) * sizeof(message)) message;
    return size_++;
  }

private:
  static constexpr slot block_messages = 4096;
  struct block {
    alignas(message) std::byte bytes[block_messages * sizeof(message)];
  };
  [[nodiscard]] message* at(slot s) const {
    return std::launder(reinterpret_cast<message*>(blocks_[s / block_messages]->bytes + (s % block_messages) * sizeof(message)));
  }

  std::vector<std::unique_ptr<block>> blocks_;
  slot size_ = 0;
};

} // namespace sallyport::cloud

#include "tests/cloud/store/conformance.hpp"

#include "cloud/store/journaled.hpp"
#include "cloud/store/memory.hpp"

namespace sallyport::cloud {
namespace {

class memory_backend {
public:
  void use_small_disk() { disk_->set_capacity(4 << 20, 512 << 10); }
  std::unique_ptr<store_port> store() { return std::make_unique<memory_store>(disk_); }

private:
  std::shared_ptr<memory_disk> disk_ = std::make_shared<memory_disk>();
};

class lmdb_backend {
public:
  void use_small_disk() { map_bytes_ = 4 << 20; }
  std::unique_ptr<store_port> store() {
    return std::make_unique<lmdb_store>(lmdb_settings{.directory = directory_.path() / "store", .map_bytes = map_bytes_});
  }

private:
  testing::temporary_directory directory_;
  std::uint64_t map_bytes_ = std::uint64_t{64} << 30;
};

class journaled_backend {
public:
  explicit journaled_backend(journal_settings journal = {}) : journal_(journal) {}
  void use_small_disk() { map_bytes_ = 4 << 20; }
  std::unique_ptr<store_port> store() {
    return std::make_unique<journaled_store>(lmdb_settings{.directory = directory_.path() / "store", .map_bytes = map_bytes_},
                                             journal_);
  }

private:
  testing::temporary_directory directory_;
  std::uint64_t map_bytes_ = std::uint64_t{64} << 30;
  journal_settings journal_;
};

/// Whatever fits goes through a journal that is soon at its end.
class narrow_journal_backend : public journaled_backend {
public:
  narrow_journal_backend() : journaled_backend({.bytes = 128 << 10, .batch_bytes = 64 << 10}) {}
};

class no_journal_backend : public journaled_backend {
public:
  no_journal_backend() : journaled_backend({.bytes = 0}) {}
};

INSTANTIATE_TYPED_TEST_SUITE_P(memory, store_conformance, memory_backend);
INSTANTIATE_TYPED_TEST_SUITE_P(lmdb, store_conformance, lmdb_backend);
INSTANTIATE_TYPED_TEST_SUITE_P(journaled, store_conformance, journaled_backend);
INSTANTIATE_TYPED_TEST_SUITE_P(narrow_journal, store_conformance, narrow_journal_backend);
INSTANTIATE_TYPED_TEST_SUITE_P(no_journal, store_conformance, no_journal_backend);

} // namespace
} // namespace sallyport::cloud

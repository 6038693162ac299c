// A disk, told from a recording: what is certainly on it, what may be, and what it can look like after the power went out.
//
// Assumed of it: a sector of 512 bytes is written whole or not at all; sectors that were not synced are written in any order, each or
// none; a file's length and every name are the same, each by itself; a sync that succeeded, and a write through O_DSYNC that returned,
// are on the disk. Of names only a sync of their directory is believed. After a sync that failed, what it should have written may be
// missing for good, whatever later syncs say: the kernel has taken the pages for clean.
#pragma once

#include "runtime/core/dice.hpp"
#include "tests/crash/shim.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::crash {

inline constexpr std::size_t sector_bytes = 512;

/// A log, read back. The views point into it.
class recording {
public:
  struct entry {
    disk_record head;
    std::string_view bytes;
  };
  recording() = default;
  explicit recording(std::string log);
  recording(const recording&) = delete; // The views.
  recording& operator=(const recording&) = delete;
  [[nodiscard]] const std::vector<entry>& entries() const { return entries_; }

private:
  std::string log_;
  std::vector<entry> entries_;
};

/// What a directory looks like when the machine is back.
struct image {
  std::map<std::string, std::optional<std::string>> names; // Content; none for a directory.
  [[nodiscard]] std::uint64_t digest() const;
  /// Replaces what is in the directory. Zeros are left out: the files have holes.
  void write_to(const std::filesystem::path& directory) const;
};

class disk {
public:
  /// Carries one record out. Marks do nothing.
  void apply(const recording::entry& e);
  /// A write through has not returned yet; the same as apply() without the certainty.
  void apply_in_flight(const recording::entry& e);

  /// In the order they were asked for: what may or may not be on the disk.
  [[nodiscard]] std::size_t pending() const;
  [[nodiscard]] std::size_t pending_sectors() const;
  /// Only what is certain, and of the rest the first `changes`, whole.
  [[nodiscard]] image prefix(std::size_t changes) const;
  /// Only what is certain, and of the rest what chance keeps: each sector, length and name by itself.
  [[nodiscard]] image subset(runtime::dice& chance) const;
  /// The n-th of all subsets, for few sectors.
  [[nodiscard]] image subset(std::uint64_t bits) const;

private:
  enum class state : std::uint8_t { certain, pending, doubtful }; // doubtful: no sync makes it certain any more.
  struct change {
    std::uint64_t order = 0;
    state is = state::pending;
    record_kind what{};
    std::uint8_t flags = 0;
    std::uint64_t at = 0;
    std::string_view bytes;
  };
  struct file {
    std::string base; // What is certain, as far as nothing doubtful comes before it.
    std::vector<change> changes;
    bool mapped = false;
  };
  struct name_change {
    std::uint64_t order = 0;
    state is = state::pending;
    record_kind what{};
    std::uint32_t file = 0;
    std::string name, to;
  };
  using chooser = std::function<bool(std::uint64_t order)>; // Asked once for each sector, length and name, in order.

  void add(const recording::entry& e, state is);
  void fold();
  static void put(std::string& content, const change& c, std::size_t from, std::size_t size);
  [[nodiscard]] image look(const chooser& keeps, std::uint64_t noise) const;

  std::map<std::uint32_t, file> files_;
  std::map<std::string, std::uint32_t> base_names_; // 0: a directory.
  std::vector<name_change> names_;
  std::uint64_t next_order_ = 0;
};

} // namespace sallyport::crash

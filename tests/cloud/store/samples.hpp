// What the store tests write: keys that rise, values that can be recomputed, folders that vanish.
#pragma once

#include "cloud/store/port.hpp"

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

namespace sallyport::testing {

/// Where a temporary directory lies: on a disk, for what has to do with one; or in memory, for thousands of openings.
enum class place { disk, memory };

class temporary_directory {
public:
  explicit temporary_directory(place where = place::disk) {
    const auto base = where == place::memory && std::filesystem::is_directory("/dev/shm")
                        ? std::filesystem::path{"/dev/shm"}
                        : std::filesystem::temp_directory_path();
    std::string name = (base / "sallyport-store-XXXXXX").string();
    if (!::mkdtemp(name.data()))
      throw std::runtime_error("cannot make a temporary directory");
    path_ = name;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

inline cloud::change put(cloud::tree where, std::string key, std::string value) {
  return {where, cloud::change::kind::put, std::move(key), std::move(value), nullptr};
}
inline cloud::change put_meta(std::string key, std::string value) {
  return put(cloud::tree::meta, std::move(key), std::move(value));
}
inline cloud::change put_content(std::string key, std::string value) {
  return put(cloud::tree::content, std::move(key), std::move(value));
}
inline cloud::change del(cloud::tree where, std::string key) {
  return {where, cloud::change::kind::del, std::move(key), {}, nullptr};
}

/// Big-endian, so that keys rise with their number.
inline std::string key_of(std::uint64_t number) {
  std::string key = "k";
  for (int shift = 56; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(number >> shift));
  return key;
}

/// Incompressible and different for each number, so that a byte in the wrong place shows.
inline std::string value_of(std::uint64_t number, std::size_t size) {
  std::string value(size, '\0');
  auto state = number * 0x9e3779b97f4a7c15u + size;
  for (auto& c : value) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    c = static_cast<char>(state >> 56);
  }
  return value;
}

/// Every live record of the meta tree, as replay shows them; "out of order" when they do not rise.
inline std::map<std::string, std::string> replayed(cloud::store_port& store) {
  std::map<std::string, std::string> records;
  std::string last;
  const auto done = store.replay([&](std::string_view key, std::string_view value) {
    if (!records.empty() && key <= last)
      throw std::runtime_error("replay is out of order");
    last = key;
    records.emplace(key, value);
  });
  if (!done)
    throw std::runtime_error(to_string(done.err()));
  return records;
}

} // namespace sallyport::testing

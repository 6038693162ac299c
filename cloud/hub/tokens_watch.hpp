// The hub's view of DATA/tokens.toml, so that `token new` and `token revoke` work beside a running hub. Thread-safe.
//
// The file is looked at when a token is checked, at most every 200 ms, and read again when it is another file or has another size or time.
// A file that became unreadable is reported once and the tokens read before stay good: a slip of an editor must not lock everybody out.
#pragma once

#include "config/tokens.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>

namespace sallyport::cloud {

class tokens_watch {
public:
  using complaint = std::function<void(const error&)>;

  /// With `dev`, the token "dev" may do everything everywhere and no file is needed.
  tokens_watch(std::string path, bool dev, complaint on_fault);

  struct bearer {
    bool dev = false; // Every role, every group.
    config::token_grant grant;
  };
  [[nodiscard]] std::optional<bearer> lookup(std::string_view token);
  /// Reads the file now. For start, where a broken file is a reason not to.
  [[nodiscard]] result<void> load();

private:
  struct stamp {
    std::uint64_t inode = 0, size = 0;
    std::int64_t mtime_ns = 0;
    friend bool operator==(const stamp&, const stamp&) = default;
  };
  [[nodiscard]] stamp look() const;

  const std::string path_;
  const bool dev_;
  const complaint on_fault_;
  std::mutex mutex_;
  std::shared_ptr<const config::token_file> tokens_;
  stamp seen_;
  std::chrono::steady_clock::time_point looked_at_{};
};

} // namespace sallyport::cloud

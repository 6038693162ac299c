#include "cloud/hub/tokens_watch.hpp"

#include <sys/stat.h>

namespace sallyport::cloud {

namespace {
constexpr std::chrono::milliseconds look_every{200};
}

tokens_watch::tokens_watch(std::string path, bool dev, complaint on_fault)
  : path_(std::move(path)),
    dev_(dev),
    on_fault_(std::move(on_fault)),
    tokens_(std::make_shared<config::token_file>()) {}

tokens_watch::stamp tokens_watch::look() const {
  struct stat st {};
  if (::stat(path_.c_str(), &st) != 0)
    return {};
  return {st.st_ino, static_cast<std::uint64_t>(st.st_size), st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec};
}

result<void> tokens_watch::load() {
  std::lock_guard lock{mutex_};
  seen_ = look(); // Before reading: a version that arrives in between is then read again.
  looked_at_ = std::chrono::steady_clock::now();
  auto loaded = config::token_file::load(path_);
  if (!loaded)
    return loaded.err();
  tokens_ = std::make_shared<config::token_file>(*std::move(loaded));
  return {};
}

std::optional<tokens_watch::bearer> tokens_watch::lookup(std::string_view token) {
  if (dev_ && token == "dev") // No secret: it is in the manual, and the hub listens on loopback only.
    return bearer{true, {}};
  std::shared_ptr<const config::token_file> tokens;
  {
    std::unique_lock lock{mutex_};
    if (auto now = std::chrono::steady_clock::now(); now - looked_at_ >= look_every) {
      looked_at_ = now;
      if (look() != seen_) {
        lock.unlock();
        if (auto loaded = load(); !loaded)
          on_fault_(loaded.err());
        lock.lock();
      }
    }
    tokens = tokens_;
  }
  auto grant = tokens->lookup(token);
  if (!grant)
    return std::nullopt;
  return bearer{false, *std::move(grant)};
}

} // namespace sallyport::cloud

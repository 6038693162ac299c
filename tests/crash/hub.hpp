// A hub without threads: the real store and the real shard, and between them the duties of the shard host (cloud/hub/shard_host.cpp),
// carried out in its order by whoever drives it. A commit under way is one that commit() has not been called for.
#pragma once

#include "cloud/core/shard.hpp"
#include "cloud/store/journaled.hpp"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

namespace sallyport::crash {

using command_body = decltype(cloud::command::what);

/// Planted in the host's part; those of the shard are in protocol/probe.hpp.
struct mistakes {
  bool believe_failed_appends = false; // What the store could not make durable is answered as if it were.
};

class hub {
public:
  hub(std::filesystem::path directory, const instant& now, mistakes planted);

  enum class clock : std::uint8_t { right, set_back };
  /// Opens the store and fills the shard. Its epoch is the wall clock's or above, as the host wants it; after a clock was set back there is
  /// only what the store remembers.
  result<void> open(clock wall = clock::right);
  void close();
  [[nodiscard]] bool is_up() const { return why_stopped_.empty() && core_; }
  [[nodiscard]] const std::string& why_stopped() const { return why_stopped_; }

  cloud::ticket submit(command_body what, std::uint64_t entropy);
  /// The sweep, then the duties: answers go out, a batch becomes the append under way.
  void turn();
  /// The append under way ends.
  void commit();
  [[nodiscard]] bool is_committing() const { return append_.has_value(); }
  [[nodiscard]] mono_time next_wake() const { return core_->next_wake(); }

  std::function<void(cloud::ticket, cloud::answer)> on_answer;
  std::function<void(cloud::opened_store)> on_open;
  static cloud::shard_settings settings();

private:
  void carry_out();
  void refill(epoch_number at_least);
  void look_at_space();
  void release(std::vector<cloud::duty::reply>& replies);
  void stop(const std::string& why);

  std::filesystem::path directory_;
  const instant& now_;
  mistakes planted_;
  std::unique_ptr<cloud::journaled_store> store_;
  std::unique_ptr<cloud::shard> core_;
  std::optional<cloud::duty::append> append_;
  std::uint64_t next_ticket_ = 1;
  std::string why_stopped_;
};

} // namespace sallyport::crash

// What everybody outside the hub has asked and been told, in the one order that the recording has too: each line of it is a mark in the
// log, so a crash between two writes knows what had been promised by then.
#pragma once

#include "runtime/core/dice.hpp"
#include "tests/crash/hub.hpp"
#include "tests/judge/history.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::crash {

struct exchange {
  std::string who;
  std::shared_ptr<const command_body> asked;
  instant at{};
  judge::step_number step = 0;
  std::optional<cloud::answer> got;
};

struct notebook {
  judge::history seen;
  std::vector<exchange> exchanges; // By the order of asking.
  epoch_number highest_epoch;
  fence_token highest_fence;
  instant now{}; // Of the last line.
};

/// One line: how it reads, and what it adds.
struct line {
  std::string text;
  std::function<void(notebook&)> add;
};

/// Asks the hub on somebody's behalf, and turns what is said into lines.
class witness {
public:
  using teller = std::function<void(line)>;
  using listener = std::function<void(const exchange&)>;

  witness(hub& at, const instant& now, std::uint64_t seed, teller tell);

  /// Whoever listens is told when the answer is there.
  void ask(const std::string& who, command_body what, listener done = {});
  /// As ask(), until the answer is there. None: the hub has stopped.
  std::optional<cloud::answer> ask_and_wait(const std::string& who, command_body what);
  /// An agent has done the work of a grant.
  void took_effect(const std::string& who, const wire::grant& g, const std::string& id);
  /// Without a line of its own, a crash would not know how late it is.
  void time_passes(milliseconds how_much);
  /// Somebody whose answer was lost has found out that the cancel he asked for came to pass.
  void found_cancelled(message_id m);
  /// Of the first line. To be set when lines follow on those of another witness.
  void begin_at(judge::step_number step) { step_ = step; }

private:
  void tell(std::string text, std::function<void(notebook&)> add);

  hub& hub_;
  const instant& now_;
  runtime::dice entropy_;
  teller tell_;
  judge::step_number step_ = 1;
  std::size_t asked_ = 0;
  struct waiting {
    exchange what;
    std::size_t index;
    listener done;
  };
  std::unordered_map<std::uint64_t, waiting> waiting_;
};

[[nodiscard]] std::string describe(const command_body& what);
[[nodiscard]] std::string describe(const cloud::answer& what);

} // namespace sallyport::crash

// Stands at the hub's mouth and writes down what reaches it and what it says, in the order it says it, whatever the network makes of it.
#pragma once

#include "cloud/core/commands.hpp"
#include "tests/judge/history.hpp"
#include "tests/sim/stage.hpp"

namespace sallyport::sim {

class mouth {
public:
  mouth(stage& s, judge::history& h) : stage_(s), history_(h) {}

  /// A request has reached the hub. The note goes back in with its answer.
  struct note {
    decltype(cloud::command::what) asked; // Without its events.
    wall_time at{};
    judge::step_number step = 0;
  };
  note arrived(const cloud::command& what);
  void said(const note& n, const cloud::answer& what);

private:
  void said_under(const note& n, session_id session, const cloud::answer& what);

  stage& stage_;
  judge::history& history_;
};

} // namespace sallyport::sim

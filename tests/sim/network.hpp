// Between a client and the hub: requests and answers are delayed, lost, doubled and overtaken; a client may be cut off, one way or both.
// On some seeds everything crosses it as bytes, through the wire codec.
#pragma once

#include "tests/sim/hub.hpp"

namespace sallyport::sim {

struct weather { // How bad the network is: one message in ... ; 0 means never.
  std::uint64_t lost = 0, doubled = 0, late = 0;
};

class line {
public:
  line(stage& s, history& h, hub& at) : stage_(s), history_(h), hub_(at) {}

  /// Calls back once: with the answer, or with nothing after the timeout.
  void send(decltype(cloud::command::what) what, milliseconds timeout, std::function<void(std::optional<cloud::answer>)> done);

  weather now;
  bool cut_out = false, cut_in = false; // Requests do not arrive; answers do not come back.
  bool in_bytes = false;                // Encode and decode what crosses.

private:
  milliseconds travel() {
    return now.late != 0 && stage_.one_in(now.late) ? stage_.between(1'000, 15'000) : stage_.between(0, 10);
  }
  bool is_lost(bool cut);

  stage& stage_;
  history& history_;
  hub& hub_;
};

} // namespace sallyport::sim

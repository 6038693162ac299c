// Between a client and the hub: requests and answers are delayed, lost, doubled and overtaken; a client may be cut off, one way or both.
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

private:
  milliseconds travel() {
    return now.late != 0 && stage_.one_in(now.late) ? stage_.between(1'000, 15'000) : stage_.between(0, 10);
  }

  stage& stage_;
  history& history_;
  hub& hub_;
};

inline void line::send(decltype(cloud::command::what) what, milliseconds timeout,
                       std::function<void(std::optional<cloud::answer>)> done) {
  struct exchange {
    bool over = false;
    std::function<void(std::optional<cloud::answer>)> done;
  };
  auto x = std::make_shared<exchange>();
  x->done = std::move(done);
  stage_.after(timeout, [x] {
    if (!std::exchange(x->over, true))
      x->done(std::nullopt);
  });
  const auto lost = [this](bool cut) {
    const bool is = cut || (now.lost != 0 && stage_.one_in(now.lost));
    history_.faults += is;
    return is;
  };
  int copies = now.doubled != 0 && stage_.one_in(now.doubled) ? 2 : 1;
  for (; copies > 0; --copies) {
    if (lost(cut_out))
      continue;
    stage_.after(travel(), [this, x, what, lost] {
      hub_.arrive({{true, {}}, stage_.roll(), what}, [this, x, lost](cloud::answer a) {
        if (lost(cut_in))
          return;
        stage_.after(travel(), [x, a = std::move(a)] {
          if (!std::exchange(x->over, true))
            x->done(a);
        });
      });
    });
  }
}

} // namespace sallyport::sim

// Sends events until each is acknowledged, repeats itself now and then, cancels a few, and makes calls.
#pragma once

#include "tests/sim/network.hpp"

namespace sallyport::sim {

class producer {
public:
  producer(stage& s, history& h, hub& at) : net(s, h, at), stage_(s), history_(h) {}

  void plan(std::size_t count, bool keyed, bool calls);
  void start() { next(); }
  /// Everything that was to be sent is acknowledged, and no call is waited for.
  [[nodiscard]] bool finished() const { return from_ >= order_.size() && calling_ == 0; }
  line net;
  bool healthy = false;

private:
  [[nodiscard]] cloud::event_item item(const judge::sent_event& e) const;
  void next();
  void send(std::size_t begin, std::size_t end);
  void acknowledge(const std::string& id, message_id m);
  void cancel(const wire::enqueued_item& m);
  void call(const std::string& id, milliseconds deadline);

  stage& stage_;
  history& history_;
  std::vector<std::string> order_;
  std::size_t from_ = 0, calling_ = 0;
};

} // namespace sallyport::sim

#include "tests/sim/network.hpp"

#include "protocol/codec.hpp"
#include "protocol/frames.hpp"

#include <memory>

namespace sallyport::sim {

namespace {

template <class T>
void reread(T& value, history& h) {
  auto text = wire::encode(value);
  auto again = wire::decode<T>(text);
  if (!again)
    return h.violate("wire", "what was encoded cannot be decoded: " + again.err().detail + ": " + text);
  value = *std::move(again);
}

/// What has a framed form too, in that one.
template <class T>
void reread_framed(T& value, history& h) {
  auto again = wire::decode_frames<T>(wire::encode_frames(value));
  if (!again)
    return h.violate("wire", "what was framed cannot be decoded: " + again.err().detail + ": " + wire::encode(value));
  value = *std::move(again);
}

template <class T, class... Some>
constexpr bool is_one_of = (std::is_same_v<T, Some> || ...);

/// The bodies that agents and hub exchange, as the bytes they are on the wire.
void through_wire(decltype(cloud::command::what)& what, history& h) {
  if (auto* open = std::get_if<cloud::ask::open>(&what))
    reread(open->body, h);
  else if (auto* beat = std::get_if<cloud::ask::beat>(&what))
    reread(beat->body, h);
  else if (auto* claim = std::get_if<cloud::ask::claim>(&what))
    reread(claim->body, h);
  else if (auto* settle = std::get_if<cloud::ask::settle>(&what))
    reread(settle->body, h), reread_framed(settle->body, h);
}

void through_wire(cloud::answer& what, history& h) {
  std::visit(
    [&](auto& one) {
      using T = std::decay_t<decltype(one)>;
      if constexpr (std::is_same_v<T, error>)
        one = wire::decode_problem(wire::encode(one));
      else if constexpr (is_one_of<T, wire::claim_reply, wire::settle_reply>)
        reread(one, h), reread_framed(one, h);
      else if constexpr (is_one_of<T, wire::enqueue_reply, wire::session_opened, wire::heartbeat_reply, wire::cancel_reply>)
        reread(one, h);
    },
    what);
}

} // namespace

bool line::is_lost(bool cut) {
  const bool is = cut || (now.lost != 0 && stage_.one_in(now.lost));
  history_.faults += is;
  return is;
}

void line::send(decltype(cloud::command::what) what, milliseconds timeout,
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
  if (in_bytes)
    through_wire(what, history_);
  int copies = now.doubled != 0 && stage_.one_in(now.doubled) ? 2 : 1;
  for (; copies > 0; --copies) {
    if (is_lost(cut_out))
      continue;
    stage_.after(travel(), [this, x, what] {
      hub_.arrive({{true, {}}, stage_.roll(), what}, [this, x](cloud::answer a) {
        if (is_lost(cut_in))
          return;
        if (in_bytes)
          through_wire(a, history_);
        stage_.after(travel(), [x, a = std::move(a)] {
          if (!std::exchange(x->over, true))
            x->done(a);
        });
      });
    });
  }
}

} // namespace sallyport::sim

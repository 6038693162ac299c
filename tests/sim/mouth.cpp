#include "tests/sim/mouth.hpp"

namespace sallyport::sim {

using namespace cloud;
using how = judge::said_to_session::how;

mouth::note mouth::arrived(const command& what) {
  const auto step = stage_.steps();
  note n{ask::close{}, stage_.now().wall, step};
  if (auto* open = std::get_if<ask::open>(&what.what)) {
    history_.asked_openings.push_back({open->body.id.value, open->body.life, step, stage_.now().wall});
    n.asked = *open;
  } else if (auto* settle = std::get_if<ask::settle>(&what.what)) {
    for (auto& item : settle->body.items)
      history_.sent.push_back({settle->body.agent.value, item, step});
    n.asked = *settle;
  } else if (auto* claim = std::get_if<ask::claim>(&what.what)) {
    n.asked = *claim;
  } else if (auto* beat = std::get_if<ask::beat>(&what.what)) {
    n.asked = ask::beat{beat->session, {}};
  }
  return n;
}

void mouth::said_under(const note& n, session_id session, const answer& what) {
  auto* e = std::get_if<error>(&what);
  if (e && e->code != errc::session_expired && e->code != errc::session_replaced)
    return; // Not ready, shutting down, outcome unknown: says nothing of the session.
  const auto kind = !e ? how::served : e->code == errc::session_expired ? how::expired : how::replaced;
  history_.answers.push_back({session, kind, n.at, n.step, stage_.steps()});
}

void mouth::said(const note& n, const answer& what) {
  const auto step = stage_.steps();
  if (auto* open = std::get_if<ask::open>(&n.asked)) {
    if (auto* reply = std::get_if<wire::session_opened>(&what))
      history_.openings.push_back(
        {open->body.id.value, open->body.life, reply->session, open->body.held, reply->lost, n.at, stage_.now().wall, step});
  } else if (auto* beat = std::get_if<ask::beat>(&n.asked)) {
    said_under(n, beat->session, what);
  } else if (auto* claim = std::get_if<ask::claim>(&n.asked)) {
    said_under(n, claim->session, what);
    if (auto* reply = std::get_if<wire::claim_reply>(&what)) {
      judge::said_claim c{claim->session, claim->body.lane, claim->body.seq, {}, n.step, step};
      for (auto& g : reply->grants)
        c.grants.push_back({g.message, g.fence});
      history_.claims.push_back(std::move(c));
    }
  } else if (auto* settle = std::get_if<ask::settle>(&n.asked)) {
    auto* reply = std::get_if<wire::settle_reply>(&what);
    for (std::size_t i = 0; reply && i < reply->items.size(); ++i) {
      auto& v = reply->items[i];
      auto& s = settle->body.items[i];
      history_.said_verdicts.push_back(
        {settle->body.agent.value, v.message, v.fence, s.outcome, s.scope, v.kind, v.outcome, v.state, step});
    }
  }
}

} // namespace sallyport::sim

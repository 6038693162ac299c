#include "cli/views.hpp"

#include "cli/report.hpp"

#include <algorithm>

namespace sallyport::cli {

namespace {

std::string age(wall_time then, wall_time now) {
  return short_duration(std::max(milliseconds(0), now - then));
}

std::string state_of(const wire::connection_view& c, const wire::group_view& group) {
  if (c.policy.paused)
    return "paused";
  if (c.target_state == "open" || c.target_state == "probing")
    return "target down";
  for (const auto& agent : group.agents)
    for (const auto& announced : agent.connections)
      if (agent.live && announced.name == c.name && announced.state == wire::reach::up)
        return "up";
  return "no agent";
}

std::string reach_of(const wire::agent_view& agent) {
  std::string out;
  for (const auto& c : agent.connections) {
    out += (out.empty() ? "" : ", ") + c.name.value + " " + std::string(to_string(c.state));
    if (c.state == wire::reach::down && !c.detail.empty())
      out += " (" + c.detail + ")";
  }
  return out;
}

// "exactly_once" is a word of the wire; people read "exactly once".
std::string words(std::string_view text) {
  std::string out(text);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

std::string what_happened(const wire::history_entry& e) {
  auto out = words(e.what);
  if (!e.agent.empty())
    out += (e.what == "granted" ? " to " : " by ") + e.agent;
  if (!e.fence.is_none())
    out += ", fence " + to_string(e.fence);
  if (!e.detail.empty())
    out += ": " + e.detail;
  return out;
}

} // namespace

std::string status_text(const wire::groups_reply& groups, wall_time now) {
  (void)now;
  std::string out;
  for (const auto& g : groups.groups) {
    const auto live = std::count_if(g.agents.begin(), g.agents.end(), [](const wire::agent_view& a) { return a.live; });
    out += (out.empty() ? "" : "\n") + std::string("group ") + g.name.value + ": " + std::to_string(live) + " of "
           + std::to_string(g.agents.size()) + " agents up\n\n";
    table connections({"CONNECTION", "STATE", "READY", "DELAYED", "BEHIND", "GRANTED", "DEAD", "OLDEST", "SETTLED", "EFFECT"});
    for (const auto& c : g.connections)
      connections.add({c.name.value, state_of(c, g) + (c.fingerprints_differ ? ", TARGETS DIFFER" : ""), std::to_string(c.ready),
                       std::to_string(c.delayed), std::to_string(c.behind_key), std::to_string(c.granted), std::to_string(c.dead),
                       c.oldest_age ? short_duration(*c.oldest_age) : "-", std::to_string(c.settled_total),
                       c.effect ? words(to_string(*c.effect)) : "-"});
    out += connections.empty() ? std::string("no connections\n") : connections.text();
    table agents({"AGENT", "STATE", "HELD", "GRANTED", "SETTLED", "LOST", "VERSION", "REACHES"});
    for (const auto& a : g.agents)
      agents.add({a.name.value, a.live ? "up" : "gone", std::to_string(a.held), std::to_string(a.granted_total),
                  std::to_string(a.settled_total), std::to_string(a.lost_total), a.version, reach_of(a)});
    if (!agents.empty())
      out += "\n" + agents.text();
  }
  return out.empty() ? "no groups yet: they come with the first agent, message or connection\n" : out;
}

std::string explain_text(const wire::message_view& m, wall_time now) {
  auto out = "message " + to_string(m.message) + ": " + words(m.state);
  if (m.state == "granted" && !m.holder.empty())
    out += " to " + m.holder;
  if (m.due_at)
    out += ", due " + to_rfc3339(*m.due_at);
  out += "\n  queue     " + m.group.value + "/" + m.connection.value + "\n  event     " + m.source + " " + m.id + "\n  enqueued  "
         + to_rfc3339(m.enqueued_at) + " (" + age(m.enqueued_at, now) + " ago)\n  attempts  " + std::to_string(m.attempts)
         + ", losses " + std::to_string(m.losses) + (m.maybe_started ? ", may have started" : "") + "\n";
  if (!m.error.empty())
    out += "  error     " + m.error + "\n";
  if (!m.result.empty())
    out += "  result    " + m.result + "\n";
  if (!m.history.empty())
    out += "\n";
  for (const auto& e : m.history) {
    // How long after the first line: what people look for is where the time went.
    const auto since = e.at - m.history.front().at;
    auto delta = "+" + short_duration(std::max(milliseconds(0), since));
    delta.resize(std::max<std::size_t>(delta.size(), 9), ' ');
    out += "  " + to_rfc3339(e.at) + "  " + delta + " " + what_happened(e) + "\n";
  }
  return printable(out);
}

std::string page_text(const wire::queue_page& page, wall_time now) {
  table out({"MESSAGE", "STATE", "AGE", "ATTEMPTS", "LOSSES", "SOURCE", "ID", "ERROR"});
  for (const auto& m : page.messages)
    out.add({to_string(m.message), words(m.state), age(m.enqueued_at, now), std::to_string(m.attempts), std::to_string(m.losses),
             m.source, m.id, m.error});
  return out.empty() ? "" : out.text();
}

} // namespace sallyport::cli

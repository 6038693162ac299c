#include "config/agent_config.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>

namespace sallyport::config {

using namespace std::chrono_literals;

namespace {

// The same file can then serve every host of a group.
std::string host_name() {
  char buffer[256] = {};
  if (::gethostname(buffer, sizeof buffer - 1) != 0)
    return {};
  std::string name(buffer);
  name = name.substr(0, name.find('.'));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

} // namespace

const options_of<agent_settings>& agent_options() {
  using s = agent_settings;
  static const options_of<agent_settings> table(
    "",
    {
      section<s>("agent", "The agent: takes messages for the local systems of its group."),
      option(&s::group, "agent.group", "The group of agents that reach the same local systems.",
             {.required = true, .example = "\"plant-7\""}),
      option(&s::name, "agent.name", "Its name, unique in the group. Without it the host's name is used.",
             {.example = "\"plant-7-a\"", .usual = true}),
      option(&s::state_dir, "agent.state_dir",
             "Holds the agent's identity and its lock; one for each agent. Without it the folder that systemd names is used "
             "(StateDirectory=).",
             {.example = "\"/var/lib/sallyport-agent\"", .usual = true}),
      option(&s::hubs, "agent.hubs", "Addresses of the hub, tried in order and then around. http:// only for this machine.",
             {.required = true, .check = check_hub_urls, .example = "[\"https://hub.example:8443\"]"}),
      option(&s::token, "agent.token", "A token with the role agent for this group.",
             {.required = true, .secret = true, .example = "\"file:/etc/sallyport/token\""}),
      option(&s::drain, "agent.drain_ms", "How long running work may take to finish when the agent is told to stop.",
             {.max = 24h}),
      option(
        &s::margin, "agent.margin_ms",
        "The agent starts nothing new this long before its session ends at the hub. Must be well below the hub's session_ttl_ms.",
        {.min = 10ms, .max = 1min}),
      option(&s::request_timeout, "agent.request_timeout_ms", "For an answer of the hub; claims wait claim_wait_ms longer.",
             {.min = 100ms, .max = 10min}),
      option(&s::claim_wait, "agent.claim_wait_ms",
             "How long a claim waits at the hub for messages. Lower it for proxies that cut idle connections.",
             {.min = 100ms, .max = 50s}),
      option(&s::lanes, "agent.lanes", "Claims that wait at the hub at once.", {.min = 1, .max = 8}),
      option(&s::window, "agent.window",
             "Messages held at once, over all connections: those not begun, those that run, and those that are done and not yet "
             "reported.",
             {.min = 1, .max = 100'000}),
      option(&s::window_bytes, "agent.window_bytes",
             "Bytes of the events held at once beyond which nothing more is asked for; what is under way by then still comes.",
             {.min = 1 << 10, .max = 64ull << 30}),
      option(&s::claim_max_messages, "agent.claim_max_messages", "Messages taken with one claim.", {.min = 1, .max = 10'000}),
      option(&s::claim_max_bytes, "agent.claim_max_bytes", "Bytes of messages taken with one claim; one message is always taken.",
             {.min = 1 << 10, .max = 1 << 30}),
      option(&s::settle_linger, "agent.settle_linger_ms",
             "How long an outcome waits for others so that they are reported together.", {.max = 10s}),
      option(&s::reconnect_min, "agent.reconnect_min_ms", "Wait before the hub is tried again; doubles, with jitter.",
             {.min = 10ms, .max = 1h}),
      option(&s::reconnect_max, "agent.reconnect_max_ms", "Longest wait before the hub is tried again.",
             {.min = 10ms, .max = 1h}),
      option(&s::probe_interval, "agent.probe_interval_ms", "How often the agent looks whether its local systems are there.",
             {.min = 100ms, .max = 1h}),
      option(&s::restarts, "agent.restarts",
             "How often a part of the agent may fail within restart_period_ms before the whole agent stops.", {.max = 1000}),
      option(&s::restart_period, "agent.restart_period_ms", "See restarts.", {.min = 100ms, .max = 24h}),

      section<s>("agent.tls", "How the hub's certificate is checked."),
      option(of(&s::tls, &tls_settings::ca_file), "agent.tls.ca_file",
             "Authorities to trust instead of the system's, PEM; also for proxies that open TLS.",
             {.check = check_readable, .example = "\"/etc/sallyport/ca.crt\""}),
      option(of(&s::tls, &tls_settings::server_name), "agent.tls.server_name",
             "The name the certificate must carry, when it is not the address's.", {.example = "\"hub.example\""}),

      section<s>("agent.proxy", "The way out, where there is one only."),
      option(of(&s::proxy, &proxy_settings::url), "agent.proxy.url", "An HTTP proxy that lets CONNECT through.",
             {.check = check_proxy_url, .example = "\"http://proxy.example:3128\""}),
      option(of(&s::proxy, &proxy_settings::user), "agent.proxy.user", "For Basic authentication.", {.example = "\"plant-7\""}),
      option(of(&s::proxy, &proxy_settings::password), "agent.proxy.password", "For Basic authentication.",
             {.secret = true, .example = "\"credential:proxy-password\""}),
      option(of(&s::proxy, &proxy_settings::no_proxy), "agent.proxy.no_proxy",
             "What is reached without the proxy: host names, \".suffix\", addresses, CIDR blocks; \"*\" means everything.",
             {.example = "[\"localhost\", \".plant.example\", \"10.0.0.0/8\"]"}),
    });
  return table;
}

const options_of<connection_settings>& connection_options() {
  using s = connection_settings;
  static const options_of<connection_settings> table(
    "connection",
    {
      section<s>("connection", "A local system. Its adapter's settings stand in a table of the adapter's name.", true),
      option(&s::name, "connection.name", "What producers call it; unique in the file.",
             {.required = true, .example = "\"erp-db\""}),
      option(&s::lost_lease, "connection.on_lost_lease",
             "What becomes of running work when the hub may have given its message to another agent. by_promise: finish where "
             "the effect is exactly "
             "once or idempotent, else cancel.",
             {.words = {{"by_promise", on_lost_lease::by_promise},
                        {"finish", on_lost_lease::finish},
                        {"cancel", on_lost_lease::cancel}}}),
      option(&s::credit, "connection.credit",
             "Messages of this connection that wait or run at once, at most. Fewer are asked for while its adapter is slow.",
             {.min = 1, .max = 100'000}),
      option(&s::restarts, "connection.restarts",
             "How often its adapter may fail within restart_period_ms before the agent is told.", {.max = 1000}),
      option(&s::restart_period, "connection.restart_period_ms", "See restarts.", {.min = 100ms, .max = 24h}),
    });
  return table;
}

namespace {

void check_agent(const node& root, agent_settings& s, fault_list& faults) {
  const auto fault = [&](std::string_view key, std::string what, std::string advice = {}) {
    faults.add(root.line_of(key), std::string(key), std::move(what), std::move(advice));
  };
  if (!root.find_path("agent.name")) {
    s.name.value = host_name();
    if (!is_valid_name(s.name.value))
      fault("agent.name", "is missing, and the host's name cannot be used", "write name = \"...\"");
  }
  if (const auto* given = root.find_path("agent.state_dir"); s.state_dir.empty() && (!given || given->is(node::kind::text))) {
    if (const char* by_systemd = std::getenv("STATE_DIRECTORY"))
      s.state_dir = by_systemd;
    else
      fault("agent.state_dir", "is missing", "write state_dir = \"/var/lib/sallyport-agent\"");
  }
  if (s.reconnect_min > s.reconnect_max)
    fault("agent.reconnect_min_ms", "is more than reconnect_max_ms");
  if (!root.find_path("agent.proxy.url") && root.find_path("agent.proxy"))
    fault("agent.proxy.url", "is missing", "write url = \"http://proxy:3128\", or leave [agent.proxy] out");
}

std::string one_of(const std::vector<std::string>& kinds) {
  std::string out;
  for (const auto& kind : kinds)
    out += (out.empty() ? "write one of: " : ", ") + kind;
  return out;
}

void read_connection(const node& item, const std::vector<std::string>& kinds, agent_file& file, fault_list& faults) {
  if (!expect(node::kind::table, item, "connection", faults))
    return;
  auto leave = kinds;
  leave.push_back("adapter");
  connection_entry entry;
  connection_options().read(entry.settings, item, faults, leave);
  const auto* adapter = item.find("adapter");
  if (adapter == nullptr)
    return faults.add(item.line, "connection.adapter", "is missing", one_of(kinds));
  if (!expect(node::kind::text, *adapter, "connection.adapter", faults))
    return;
  if (std::find(kinds.begin(), kinds.end(), adapter->text) == kinds.end()) {
    const auto near = nearest(adapter->text, kinds);
    return faults.add(adapter->line, "connection.adapter", "there is no adapter \"" + adapter->text + "\"",
                      near.empty() ? one_of(kinds) : "did you mean " + near + "?");
  }
  entry.adapter = adapter->text;
  entry.own.line = item.line;
  for (const auto& member : item.items) {
    if (std::find(kinds.begin(), kinds.end(), member.key) == kinds.end())
      continue;
    if (!expect(node::kind::table, member, "connection." + member.key, faults))
      return;
    if (member.key == entry.adapter)
      entry.own = member;
    else
      faults.add(member.line, "connection." + member.key, "is not read: the connection's adapter is " + entry.adapter,
                 "remove it, or write adapter = \"" + member.key + "\"");
  }
  file.connections.push_back(std::move(entry));
}

} // namespace

agent_file read_agent(const node& root, const std::vector<std::string>& kinds, fault_list& faults) {
  agent_file file;
  agent_options().read(file.agent, root, faults, {"connection"});
  check_agent(root, file.agent, faults);
  const auto* connections = root.find("connection");
  if (connections == nullptr) {
    faults.add(0, "connection", "is missing: the agent would have nothing to do",
               "write [[connection]], name = ..., adapter = ...");
    return file;
  }
  if (!connections->is(node::kind::list)) {
    faults.add(connections->line, "connection", "must be a list of tables", "write [[connection]] with two brackets");
    return file;
  }
  for (const auto& item : connections->items)
    read_connection(item, kinds, file, faults);
  std::map<std::string, unsigned> first_line;
  for (const auto& item : connections->items) {
    const auto* name = item.find("name");
    if (name == nullptr || !name->is(node::kind::text))
      continue;
    const auto [at, is_new] = first_line.emplace(name->text, name->line);
    if (!is_new)
      faults.add(name->line, "connection.name",
                 "\"" + name->text + "\" is the name of another connection, in line " + std::to_string(at->second),
                 "give each connection a name of its own");
  }
  return file;
}

namespace {

std::string quoted_in(const std::string& line) {
  const auto open = line.find('\''), close = open == std::string::npos ? open : line.find('\'', open + 1);
  return close == std::string::npos ? std::string() : line.substr(open + 1, close - open - 1);
}

} // namespace

void add_check_faults(const error& said, const option_list& options, const node& own, fault_list& faults) {
  const auto known = faults.sorted();
  for (std::size_t at = 0; at < said.detail.size();) {
    const auto end = std::min(said.detail.find('\n', at), said.detail.size());
    const auto line = said.detail.substr(at, end - at);
    at = end + 1;
    const auto first = line.substr(0, line.find_first_of(" :,."));
    const node* member = nullptr;
    std::string key = options.path();
    for (const auto& e : options.entries()) {
      if (e.section || first.empty())
        continue;
      if (e.tables) { // "statement 'add_order': ..."
        const auto table = e.tables->list.path().substr(options.path().size() + 1, first.size());
        const auto name = table == first ? quoted_in(line) : std::string();
        if (const auto* found = name.empty() ? nullptr : own.find_path(first + "." + name)) {
          member = found;
          key = options.path() + "." + first + "." + name;
        }
        continue;
      }
      // The adapter knows its members, which carry no unit: "latency" is latency_ms in the file.
      const auto name = e.doc.key.substr(options.path().size() + 1);
      if (name == first || name == first + "_ms" || name == first + "_bytes") {
        key = e.doc.key;
        member = own.find(name);
      }
    }
    const auto line_number = member ? member->line : own.line;
    const bool said_before =
      std::any_of(known.begin(), known.end(), [&](const fault& f) { return !f.warning && f.key == key && f.line >= own.line; });
    if (!line.empty() && !said_before)
      faults.add(line_number, key, line);
  }
}

file_kind kind_of(const node& root) {
  const bool hub = root.find("hub") != nullptr, agent = root.find("agent") != nullptr || root.find("connection") != nullptr;
  return hub == agent ? file_kind::neither : hub ? file_kind::hub : file_kind::agent;
}

} // namespace sallyport::config

#include "cli/config_file.hpp"

#include "config/hub_config.hpp"

namespace sallyport::cli {

namespace {

std::string count(std::size_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string summary(const loaded_agent& loaded) {
  std::string connections;
  for (const auto& c : loaded.connections)
    connections += (connections.empty() ? "" : ", ") + c.settings.name.value + " (" + c.factory.about.kind + ", "
                   + std::string(wire::to_string(c.factory.about.effect)) + ")";
  return "OK: agent " + loaded.agent.name.value + " of group " + loaded.agent.group.value + ", "
         + count(loaded.connections.size(), "connection") + ": " + connections;
}

error as_error(const config::fault_list& faults) {
  return make_error(errc::invalid_config, faults.text());
}

} // namespace

check_report check_text(std::string_view text, const std::string& path, const adapter_kinds& kinds) {
  config::fault_list faults(path);
  std::string good;
  if (const auto root = config::parse_toml(text, faults)) {
    switch (config::kind_of(*root)) {
      case config::file_kind::hub: {
        const auto hub = config::read_hub(*root, faults);
        good = "OK: hub at " + hub.listen + ", data in " + hub.data_dir;
        break;
      }
      case config::file_kind::agent: good = summary(load_agent(*root, kinds, faults)); break;
      case config::file_kind::neither:
        faults.add(0, {}, "is neither a hub's file nor an agent's", "begin it with [hub], or with [agent] and [[connection]]");
    }
  }
  if (faults.has_errors())
    return {faults.text(), false};
  return {faults.text() + path + ": " + good + "\n", true};
}

result<loaded_agent> load_agent_file(const std::string& path, const adapter_kinds& kinds, std::string& warnings) {
  config::fault_list faults(path);
  const auto text = config::read_file(path, faults);
  const auto root = text ? config::parse_toml(*text, faults) : std::nullopt;
  if (!root)
    return as_error(faults);
  auto loaded = load_agent(*root, kinds, faults);
  if (faults.has_errors())
    return as_error(faults);
  warnings = faults.text();
  return loaded;
}

result<config::hub_settings> load_hub_file(const std::string& path, bool dev, std::string& warnings) {
  config::fault_list faults(path);
  const auto text = config::read_file(path, faults);
  const auto root = text ? config::parse_toml(*text, faults) : std::nullopt;
  if (!root)
    return as_error(faults);
  auto settings = config::read_hub(*root, faults, dev);
  if (faults.has_errors())
    return as_error(faults);
  warnings = faults.text();
  return settings;
}

std::string reference(const adapter_kinds& kinds) {
  std::string out =
    "<!-- Made by `sallyport config reference`; a test fails when it is not what the program says. Do not edit. -->\n"
    "# Configuration\n\n"
    "A hub and an agent each read one TOML file. `sallyport config check FILE` says every fault of a file at once, with its "
    "line;\n"
    "`sallyport config example hub|agent` prints a file to start from.\n\n"
    "- Numbers are whole and carry their unit in the name: `_ms` milliseconds, `_bytes` bytes, `_percent` percent.\n"
    "- Secrets are references: `file:/path` (a file that only its owner can use), `env:NAME` (an environment variable),\n"
    "  `credential:NAME` (a systemd credential, `LoadCredential=NAME:/path`). A secret in clear text is refused.\n"
    "- A file is read when the program starts. Tokens are not in it: `sallyport token` keeps them in the hub's data directory, "
    "and a\n"
    "  running hub takes over what changes there.\n\n"
    "## The hub's file\n\n";
  out += config::reference_of(config::hub_options().list());
  out += "\n## The agent's file\n\n";
  out += config::reference_of(config::agent_options().list());
  out += "\n" + config::reference_of(config::connection_options().list());
  std::string names;
  for (const auto& name : kinds.names())
    names += (names.empty() ? "" : ", ") + name;
  out += "| `adapter` | word: " + names + " | **required** | The kind of local system. |\n\n## Adapters\n";
  for (const auto& kind : kinds.all())
    out += "\n" + config::reference_of(kind.options);
  return out;
}

std::string example_hub() {
  return "# A hub of sallyport. `sallyport config check FILE` says whether it is in order.\n\n"
         + config::example_of(config::hub_options().list());
}

std::string example_agent(const adapter_kinds& kinds) {
  auto out = "# An agent of sallyport. `sallyport config check FILE` says whether it is in order.\n\n"
             + config::example_of(config::agent_options().list());
  for (const auto& kind : kinds.all()) {
    auto connection = config::example_of(config::connection_options().list());
    const std::string name = "name = \"erp-db\"\n";
    connection.replace(connection.find(name), name.size(), "name = \"my-" + kind.name + "\"\nadapter = \"" + kind.name + "\"\n");
    out += "\n" + connection + "\n" + config::example_of(kind.options);
  }
  return out;
}

} // namespace sallyport::cli

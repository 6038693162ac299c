// A TOML file as the hub's and as an agent's, with the tables of every adapter. Reading must be repeatable, faults must say where they are,
// and what is accepted must be in its range.
#include "adapters/file/options.hpp"
#include "adapters/http/options.hpp"
#include "adapters/null/options.hpp"
#include "adapters/sql/options.hpp"
#include "config/agent_config.hpp"
#include "config/hub_config.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <stdlib.h>

#include <algorithm>

namespace {

using namespace sallyport;
using namespace std::chrono_literals;
using config::fault_list;
using config::node;

void judge_tree(const node& n, unsigned lines) {
  SALLYPORT_ASSERT(n.line <= lines);
  if (n.is(node::kind::text)) {
    fault_list faults;
    const auto again = config::parse_toml("k = " + config::quote_toml(n.text) + "\n", faults);
    SALLYPORT_ASSERT(again && again->find("k") && again->find("k")->text == n.text);
  }
  for (const auto& item : n.items)
    judge_tree(item, lines);
}

void judge_faults(const fault_list& faults, unsigned lines) {
  SALLYPORT_ASSERT(!faults.has_errors() || !faults.text().empty());
  for (const auto& f : faults.sorted()) {
    SALLYPORT_ASSERT(!f.what.empty());
    SALLYPORT_ASSERT(f.line <= lines);
  }
}

std::string read_hub(const node& root, bool dev, unsigned lines) {
  fault_list faults{"hub.toml"};
  const auto s = config::read_hub(root, faults, dev);
  judge_faults(faults, lines);
  if (!faults.has_errors()) {
    SALLYPORT_ASSERT(s.session_ttl >= 1s && s.session_ttl <= 10min);
    SALLYPORT_ASSERT(!s.data_dir.empty());
    SALLYPORT_ASSERT(dev || (!s.tls_cert_file.empty() && !s.tls_key_file.empty()));
    SALLYPORT_ASSERT(s.limits.event.event_bytes <= s.limits.body_bytes);
    SALLYPORT_ASSERT(s.policy.backoff_min <= s.policy.backoff_max);
    const auto longest = 24h * 366;
    SALLYPORT_ASSERT(s.policy.message_ttl <= longest && s.policy.retention <= longest); // They are added to the time of day.
  }
  return faults.text();
}

template <class Settings>
std::string read_own(const config::options_of<Settings>& options, const node& own, unsigned lines) {
  fault_list faults{"agent.toml"};
  Settings s;
  options.read(s, own, faults);
  judge_faults(faults, lines);
  return faults.text();
}

std::string read_agent(const node& root, unsigned lines) {
  fault_list faults{"agent.toml"};
  const auto file = config::read_agent(root, {"sql", "file", "http", "null"}, faults);
  judge_faults(faults, lines);
  if (!faults.has_errors()) {
    SALLYPORT_ASSERT(is_valid_name(file.agent.group.value) && is_valid_name(file.agent.name.value));
    SALLYPORT_ASSERT(file.agent.lanes >= 1 && file.agent.lanes <= 8);
    SALLYPORT_ASSERT(!file.agent.hubs.empty() && !file.connections.empty());
  }
  auto said = faults.text();
  for (const auto& c : file.connections) {
    const auto& own = c.own;
    said += c.adapter == "sql"    ? read_own(adapters::sql::options(), own, lines)
            : c.adapter == "file" ? read_own(adapters::file::options(), own, lines)
            : c.adapter == "http" ? read_own(adapters::http::options(), own, lines)
                                  : read_own(adapters::null::options(), own, lines);
    fault_list more{"agent.toml"};
    config::add_check_faults(make_error(errc::invalid_config, "path: must be absolute\nstatement 'a': is empty"),
                             adapters::sql::options().list(), own, more);
    judge_faults(more, lines);
  }
  return said;
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::unsetenv("STATE_DIRECTORY");
  ::unsetenv("CREDENTIALS_DIRECTORY");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::as_text(data, size);
  // A reference to a device or a pipe might be read for ever.
  for (const std::string_view outside : {"/dev", "/proc", "/sys"})
    if (text.find(outside) != text.npos)
      return -1;
  const auto lines = static_cast<unsigned>(std::count(text.begin(), text.end(), '\n') + 1);
  fault_list faults{"some.toml"};
  const auto root = config::parse_toml(text, faults);
  SALLYPORT_ASSERT(root.has_value() != faults.has_errors());
  judge_faults(faults, lines);
  if (!root)
    return 0;
  judge_tree(*root, lines);
  (void)config::kind_of(*root);
  (void)read_hub(*root, false, lines);
  SALLYPORT_ASSERT(read_hub(*root, true, lines) == read_hub(*root, true, lines));
  SALLYPORT_ASSERT(read_agent(*root, lines) == read_agent(*root, lines));
  return 0;
}

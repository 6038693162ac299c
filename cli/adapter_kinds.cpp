#include "cli/adapter_kinds.hpp"

#include "adapters/file/options.hpp"
#include "adapters/http/options.hpp"
#include "adapters/null/options.hpp"
#include "adapters/sql/options.hpp"

#include <algorithm>

namespace sallyport::cli {

adapter_kinds adapter_kinds::builtin() {
  namespace a = adapters;
  adapter_kinds kinds;
  kinds.add(
    kind_from("sql", "Runs named statements on SQLite or PostgreSQL.", a::sql::options(), a::sql::check, a::sql::make_factory));
  kinds.add(
    kind_from("file", "Works with files below one directory.", a::file::options(), a::file::check, a::file::make_factory));
  kinds.add(kind_from("http", "Calls one HTTP service.", a::http::options(), a::http::check, a::http::make_factory));
  kinds.add(kind_from("null", "Takes messages and does nothing.", a::null::options(), a::null::check, a::null::make_factory));
  return kinds;
}

void adapter_kinds::add(adapter_kind kind) {
  std::erase_if(kinds_, [&kind](const adapter_kind& k) { return k.name == kind.name; });
  kinds_.push_back(std::move(kind));
}

const adapter_kind* adapter_kinds::find(const std::string& name) const {
  const auto found = std::find_if(kinds_.begin(), kinds_.end(), [&name](const adapter_kind& k) { return k.name == name; });
  return found == kinds_.end() ? nullptr : &*found;
}

std::vector<std::string> adapter_kinds::names() const {
  std::vector<std::string> out;
  for (const auto& kind : kinds_)
    out.push_back(kind.name);
  return out;
}

loaded_agent load_agent(const config::node& root, const adapter_kinds& kinds, config::fault_list& faults) {
  auto file = config::read_agent(root, kinds.names(), faults);
  loaded_agent out;
  out.agent = std::move(file.agent);
  for (const auto& entry : file.connections)
    if (auto factory = kinds.find(entry.adapter)->load(entry.own, faults))
      out.connections.push_back({entry.settings, std::move(*factory)});
  return out;
}

} // namespace sallyport::cli

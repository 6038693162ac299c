// The kinds of adapter that an agent's file may name, and how one of them becomes a factory. A binary of an embedder adds its
// own:
//
//   auto kinds = sallyport::cli::adapter_kinds::builtin();
//   kinds.add(sallyport::cli::kind_from("plc", "Talks to a PLC.", plc::options(), plc::check, plc::make_factory));
//   return sallyport::cli::run(argc, argv, kinds);
//
// A value; filled before use, any thread after that.
#pragma once

#include "adapters/api/adapter.hpp"
#include "config/agent_config.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sallyport::cli {

struct adapter_kind {
  std::string name; // What a file says: adapter = "sql".
  std::string text; // One line for the manual.
  config::option_list options;
  /// Reads the connection's own table and checks it; nothing when there were faults, which are added.
  std::function<std::optional<adapters::factory>(const config::node& own, config::fault_list& faults)> load;
};

/// A kind whose settings are a struct with a table, a check and a factory, as those of adapters/* are.
template <class Settings>
adapter_kind kind_from(std::string name, std::string text, const config::options_of<Settings>& options,
                       result<void> (*check)(const Settings&), adapters::factory (*make)(const Settings&)) {
  return {std::move(name), std::move(text), options.list(),
          [options, check, make](const config::node& own, config::fault_list& faults) -> std::optional<adapters::factory> {
            Settings settings;
            const auto before = faults.errors();
            options.read(settings, own, faults);
            if (const auto judged = check(settings); !judged)
              config::add_check_faults(judged.err(), options.list(), own, faults);
            return faults.errors() == before ? std::optional(make(settings)) : std::nullopt;
          }};
}

class adapter_kinds {
public:
  /// sql, file, http, null.
  [[nodiscard]] static adapter_kinds builtin();

  /// A kind of the same name is replaced.
  void add(adapter_kind kind);
  [[nodiscard]] const adapter_kind* find(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] const std::vector<adapter_kind>& all() const { return kinds_; }

private:
  std::vector<adapter_kind> kinds_;
};

struct loaded_connection {
  config::connection_settings settings;
  adapters::factory factory;
};
struct loaded_agent {
  config::agent_settings agent;
  std::vector<loaded_connection> connections;
};
/// The whole of an agent's file; what is returned can be used only if there were no errors.
[[nodiscard]] loaded_agent load_agent(const config::node& root, const adapter_kinds& kinds, config::fault_list& faults);

} // namespace sallyport::cli

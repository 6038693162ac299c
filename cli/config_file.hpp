// A file of either program, loaded whole: what `config check` says of it and what hub and agent start with.
#pragma once

#include "cli/adapter_kinds.hpp"
#include "config/hub_settings.hpp"

#include <string>

namespace sallyport::cli {

/// What `sallyport config check` prints: every fault, one per line, or one line that says what the file describes.
struct check_report {
  std::string text;
  bool usable = false; // Warnings do not make a file unusable.
};
[[nodiscard]] check_report check_text(std::string_view text, const std::string& path, const adapter_kinds& kinds);

/// Errors: invalid_config; the detail is every fault, one per line. Warnings come back in `warnings`.
[[nodiscard]] result<loaded_agent> load_agent_file(const std::string& path, const adapter_kinds& kinds, std::string& warnings);
[[nodiscard]] result<config::hub_settings> load_hub_file(const std::string& path, bool dev, std::string& warnings);

/// Markdown for docs/configuration.md.
[[nodiscard]] std::string reference(const adapter_kinds& kinds);
/// A file to start from.
[[nodiscard]] std::string example_hub();
[[nodiscard]] std::string example_agent(const adapter_kinds& kinds);

} // namespace sallyport::cli

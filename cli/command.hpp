// The command line as the commands see it: options bound to variables, sub-commands, help. CLI11 (a heavy header) stays in
// command.cpp. One thread. Variables must live until the program has run.
#pragma once

#include "cli/exit_code.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
} // namespace CLI

namespace sallyport::cli {

class command {
public:
  explicit command(CLI::App* app) : app_(app) {}

  /// A command below this one.
  command sub(const std::string& name, const std::string& text);

  /// An argument by position: "GROUP".
  command& argument(const std::string& name, std::string& into, const std::string& text);
  command& optional_argument(const std::string& name, std::string& into, const std::string& text);
  command& arguments(const std::string& name, std::vector<std::string>& into, const std::string& text); // Any number.

  /// "--hub URL"; the part after the blank names the value in the help.
  command& option(const std::string& name, std::string& into, const std::string& text, const std::string& env = {});
  command& required_option(const std::string& name, std::string& into, const std::string& text);
  command& option(const std::string& name, std::vector<std::string>& into, const std::string& text);
  command& option(const std::string& name, std::uint64_t& into, const std::string& text, std::uint64_t min, std::uint64_t max);
  command& option(const std::string& name, double& into, const std::string& text, double min, double max);
  /// One of the words.
  command& choice(const std::string& name, std::string& into, const std::vector<std::string>& words, const std::string& text);
  command& flag(const std::string& name, bool& into, const std::string& text);

  /// Printed below the help: what it is good for, by example.
  command& examples(const std::string& text);
  /// What the command does when it was asked for.
  void runs(std::function<exit_code()> action);

private:
  CLI::App* app_;
};

/// Parses the command line that `build` describes and runs the command it names. Help goes to stdout, what is wrong to stderr.
[[nodiscard]] exit_code run_program(int argc, const char* const* argv, const std::string& text, const std::string& footer,
                                    const std::function<void(command&)>& build);

} // namespace sallyport::cli

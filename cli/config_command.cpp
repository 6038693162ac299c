#include "cli/commands.hpp"
#include "cli/config_file.hpp"

#include <cstdio>
#include <iostream>
#include <iterator>

namespace sallyport::cli {

namespace {

exit_code check(const std::string& path, const adapter_kinds& kinds) {
  config::fault_list faults(path);
  const auto text =
    path == "-" ? std::optional(std::string(std::istreambuf_iterator<char>(std::cin), {})) : config::read_file(path, faults);
  if (!text) {
    std::fputs(faults.text().c_str(), stderr);
    return exit_code::config;
  }
  const auto report = check_text(*text, path, kinds);
  std::fputs(report.text.c_str(), report.usable ? stdout : stderr);
  return report.usable ? exit_code::ok : exit_code::config;
}

} // namespace

void add_config_commands(command& program, const adapter_kinds& kinds) {
  struct variables {
    std::string file, which;
  };
  auto v = std::make_shared<variables>();
  auto family = program.sub("config", "Check, explain and begin configuration files.");
  family.sub("check", "Say every fault of a hub's or an agent's file, with its line.")
    .argument("FILE", v->file, "The file; - reads standard input.")
    .examples("  sallyport config check /etc/sallyport/agent.toml\n"
              "Run it as the user and on the host of the program: it looks for the files and secrets that are named.")
    .runs([v, &kinds] { return check(v->file, kinds); });
  family.sub("reference", "Print what every setting means (Markdown).").runs([&kinds] {
    std::fputs(reference(kinds).c_str(), stdout);
    return exit_code::ok;
  });
  family.sub("example", "Print a file to start from.")
    .argument("PROGRAM", v->which, "hub or agent")
    .examples("  sallyport config example agent > agent.toml")
    .runs([v, &kinds] {
      if (v->which != "hub" && v->which != "agent") {
        std::fprintf(stderr, "sallyport config example: there is no program \"%s\"; write hub or agent\n", v->which.c_str());
        return exit_code::usage;
      }
      std::fputs((v->which == "hub" ? example_hub() : example_agent(kinds)).c_str(), stdout);
      return exit_code::ok;
    });
}

} // namespace sallyport::cli

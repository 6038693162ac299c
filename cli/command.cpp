#include "cli/command.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <iostream>

namespace sallyport::cli {

namespace {

// "--hub URL" is two things to CLI11.
struct spelled {
  explicit spelled(const std::string& name) : flags(name.substr(0, name.find(' '))) {
    if (const auto blank = name.find(' '); blank != std::string::npos)
      value = name.substr(blank + 1);
  }
  CLI::Option* dress(CLI::Option* option) const { return value.empty() ? option : option->type_name(value); }
  std::string flags, value;
};

template <class Number>
CLI::Validator between(Number min, Number max) {
  return CLI::Validator(
    [min, max](std::string& text) -> std::string {
      Number n{};
      if (!CLI::detail::lexical_cast(text, n) || n < min || n > max || text.starts_with('-'))
        return "must be " + std::to_string(min) + " to " + std::to_string(max) + ", and is " + text;
      return {};
    },
    "");
}

class formatter : public CLI::Formatter {
public:
  formatter() { column_width(34); }
  // CLI11 puts "Usage: path [OPTIONS] ..." first and the text after; people look for the text.
  std::string make_footer(const CLI::App* app) const override {
    const auto text = app->get_footer();
    return text.empty() ? std::string() : "\n" + text + "\n";
  }
};

} // namespace

command command::sub(const std::string& name, const std::string& text) {
  auto* app = app_->add_subcommand(name, text);
  return command(app);
}

command& command::argument(const std::string& name, std::string& into, const std::string& text) {
  app_->add_option(name, into, text)->required()->type_name("");
  return *this;
}

command& command::optional_argument(const std::string& name, std::string& into, const std::string& text) {
  app_->add_option(name, into, text)->type_name("");
  return *this;
}

command& command::arguments(const std::string& name, std::vector<std::string>& into, const std::string& text) {
  app_->add_option(name, into, text)->type_name("");
  return *this;
}

command& command::option(const std::string& name, std::string& into, const std::string& text, const std::string& env) {
  const spelled s(name);
  auto* option = s.dress(app_->add_option(s.flags, into, text));
  if (!env.empty())
    option->envname(env);
  return *this;
}

command& command::required_option(const std::string& name, std::string& into, const std::string& text) {
  const spelled s(name);
  s.dress(app_->add_option(s.flags, into, text))->required();
  return *this;
}

command& command::option(const std::string& name, std::vector<std::string>& into, const std::string& text) {
  const spelled s(name);
  s.dress(app_->add_option(s.flags, into, text))->expected(1)->take_all();
  return *this;
}

command& command::option(const std::string& name, std::uint64_t& into, const std::string& text, std::uint64_t min,
                         std::uint64_t max) {
  const spelled s(name);
  s.dress(app_->add_option(s.flags, into, text))->capture_default_str()->check(between(min, max));
  return *this;
}

command& command::option(const std::string& name, double& into, const std::string& text, double min, double max) {
  const spelled s(name);
  s.dress(app_->add_option(s.flags, into, text))->check(between(min, max));
  return *this;
}

command& command::choice(const std::string& name, std::string& into, const std::vector<std::string>& words,
                         const std::string& text) {
  const spelled s(name);
  s.dress(app_->add_option(s.flags, into, text))->check(CLI::IsMember(words));
  return *this;
}

command& command::flag(const std::string& name, bool& into, const std::string& text) {
  app_->add_flag(name, into, text);
  return *this;
}

command& command::examples(const std::string& text) {
  app_->footer("Examples:\n" + text);
  return *this;
}

void command::runs(std::function<exit_code()> action) {
  app_->final_callback([action = std::move(action)] {
    // CLI11 has no result for callbacks; this is its way of saying what the process ends with.
    throw CLI::RuntimeError(static_cast<int>(action()));
  });
}

exit_code run_program(int argc, const char* const* argv, const std::string& text, const std::string& footer,
                      const std::function<void(command&)>& build) {
  CLI::App app(text, "sallyport");
  app.formatter(std::make_shared<formatter>());
  app.require_subcommand(1);
  app.footer(footer);
  command root(&app);
  build(root);
  for (auto* family : app.get_subcommands([](CLI::App*) { return true; }))
    if (!family->get_subcommands([](CLI::App*) { return true; }).empty())
      family->require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& ran) {
    return static_cast<exit_code>(ran.get_exit_code());
  } catch (const CLI::Success& asked) { // --help
    app.exit(asked, std::cout, std::cerr);
    return exit_code::ok;
  } catch (const CLI::ParseError& wrong) {
    const CLI::App* where = &app;
    while (!where->get_subcommands().empty())
      where = where->get_subcommands().front();
    auto path = std::string("sallyport");
    for (const CLI::App* at = where; at != &app; at = at->get_parent())
      path.insert(9, " " + at->get_name());
    std::cerr << path << ": " << wrong.what() << "\nRun `" << path << " --help` for what it takes.\n";
    return exit_code::usage;
  }
  return exit_code::ok;
}

} // namespace sallyport::cli

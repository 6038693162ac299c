#include "tests/sim/shrink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace sallyport::sim {

namespace {

constexpr std::size_t lines_max = 120;

bool breaks(const run_result& r, const std::string& law) {
  return std::any_of(r.violations.begin(), r.violations.end(), [&](auto& v) { return v.law == law; });
}

/// The messages and events a violation names: "m17-3", "e12".
void collect_names(const std::string& text, std::set<std::string>& names) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = i == 0 || std::isalnum(static_cast<unsigned char>(text[i - 1])) == 0;
    if (!begins || (text[i] != 'm' && text[i] != 'e'))
      continue;
    auto end = i + 1;
    while (end < text.size()
           && (std::isdigit(static_cast<unsigned char>(text[end])) != 0 || (text[i] == 'm' && text[end] == '-')))
      ++end;
    if (end > i + 1)
      names.insert(text.substr(i, end - i));
  }
}

} // namespace

story shrink(const script& failing, const run_result& result, std::uint64_t runs_max) {
  story s{failing, result, result.violations.front().law, 0};
  const auto still_breaks = [&](const script& tried) {
    if (s.runs >= runs_max)
      return false;
    ++s.runs;
    auto r = run(tried);
    if (!breaks(r, s.law))
      return false;
    s.what = tried, s.how = std::move(r);
    return true;
  };
  // Fewer steps of bad weather, agents and events: halve while it lasts, then by less.
  const auto lessen = [&](auto member, auto from) {
    for (auto cut = from / 2; cut > 0; cut /= 2) {
      auto less = s.what;
      if (less.*member > from)
        less.*member = from;
      if (less.*member <= cut)
        continue;
      less.*member -= cut;
      (void)still_breaks(less);
    }
  };
  lessen(&script::steps, s.what.steps);
  lessen(&script::events_max, std::min<std::size_t>(s.what.events_max, s.how.events));
  lessen(&script::agents_max, std::min<std::size_t>(s.what.agents_max, s.how.agents));
  // Faults: whole stretches first, then one by one.
  for (auto stretch = std::max(1u, s.how.acts / 2); stretch > 0; stretch /= 2)
    for (unsigned from = 0; from < s.how.acts; from += stretch) {
      auto less = s.what;
      for (auto i = from; i < std::min(from + stretch, s.how.acts); ++i)
        less.spared.insert(i);
      if (less.spared.size() != s.what.spared.size())
        (void)still_breaks(less);
    }
  lessen(&script::steps, s.what.steps);
  s.what.trace = true;
  s.how = run(s.what);
  return s;
}

std::string tell(const story& s) {
  std::set<std::string> names;
  std::string out;
  for (auto& v : s.how.violations)
    if (v.law == s.law)
      collect_names(v.what, names);
  // An event's lines name its message, and the other way round.
  for (auto& line : s.how.trace)
    if (std::any_of(names.begin(), names.end(), [&](auto& n) { return line.find(n + " ") != std::string::npos; }))
      if (const auto open = line.find(" ("); open != std::string::npos)
        collect_names(line, names);
  const auto spared = std::distance(s.what.spared.begin(), s.what.spared.lower_bound(s.how.acts));
  out += fmt::format("seed {} breaks {}; {} faults, {} events, {} agents, {} steps of bad weather are enough for it\n",
                     s.what.seed, s.law, s.how.acts - static_cast<unsigned>(spared), s.how.events, s.how.agents, s.what.steps);
  std::size_t shown = 0;
  const auto concerns = [&](const std::string& line) {
    bool about_a_message = false;
    std::set<std::string> here;
    collect_names(line, here);
    for (auto& n : here) {
      about_a_message = true;
      if (names.count(n) != 0)
        return true;
    }
    return !about_a_message;
  };
  for (auto& line : s.how.trace)
    if (concerns(line)) {
      if (++shown > lines_max) {
        out += "           ...\n";
        break;
      }
      out += line + '\n';
    }
  for (auto& v : s.how.violations)
    if (v.law == s.law)
      out += fmt::format("           => {}: {}\n", v.law, v.what);
  return out;
}

} // namespace sallyport::sim

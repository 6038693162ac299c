#include "cli/report.hpp"

#include <algorithm>
#include <cstdio>

namespace sallyport::cli {

namespace {

std::string advice_for(errc code) {
  switch (code) {
    case errc::unreachable: return "is the hub running, and is --hub (or SALLYPORT_HUB) its address?";
    case errc::token_required:
    case errc::bad_token: return "give --token or SALLYPORT_TOKEN; `sallyport token new` makes tokens";
    case errc::wrong_role:
    case errc::wrong_group: return "`sallyport token new` makes a token for this role and group";
    case errc::tls_refused: return "if the hub's authority is your own, name its certificate with --ca";
    default: return {};
  }
}

std::size_t width_of(std::string_view text) {
  // Of UTF-8, only first bytes count.
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

} // namespace

exit_code report(const std::string& command, exit_code code, const std::string& what) {
  std::fprintf(stderr, "sallyport %s: %s\n", command.c_str(), printable(what).c_str());
  return code;
}

exit_code report(const std::string& command, const error& e) {
  // A file's faults are a list, each with its own place.
  if (e.code == errc::invalid_config && e.detail.ends_with('\n')) {
    std::fputs(e.detail.c_str(), stderr);
    return exit_code::config;
  }
  const auto advice = advice_for(e.code);
  return report(command, exit_code_of(e.code), to_string(e) + (advice.empty() ? "" : "; " + advice));
}

std::string short_duration(milliseconds d) {
  const auto ms = d.count();
  char out[32];
  if (ms < 1000)
    std::snprintf(out, sizeof out, "%lld ms", static_cast<long long>(ms));
  else if (ms < 120'000)
    std::snprintf(out, sizeof out, "%.1f s", static_cast<double>(ms) / 1000);
  else if (ms < 7'200'000)
    std::snprintf(out, sizeof out, "%lld min", static_cast<long long>(ms / 60'000));
  else if (ms < 172'800'000)
    std::snprintf(out, sizeof out, "%lld h", static_cast<long long>(ms / 3'600'000));
  else
    std::snprintf(out, sizeof out, "%lld d", static_cast<long long>(ms / 86'400'000));
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : c;
  return out;
}

std::string table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width_of(row[i]));
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i]), ' ');
      const bool right = rows_.size() > 1 && is_number(rows_[1][i]);
      line += (i ? "  " : "") + (right ? gap + row[i] : row[i] + gap);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += printable(line) + "\n";
  }
  return out;
}

} // namespace sallyport::cli

#include "config/fault.hpp"

#include <algorithm>

namespace sallyport::config {

std::string to_string(const fault& f) {
  auto out = f.file;
  if (f.line > 0)
    out += ":" + std::to_string(f.line);
  out += ": ";
  if (f.warning)
    out += "warning: ";
  if (!f.key.empty())
    out += f.key + ": ";
  out += f.what;
  if (!f.advice.empty())
    out += "; " + f.advice;
  return out;
}

void fault_list::add(unsigned line, std::string key, std::string what, std::string advice) {
  faults_.push_back({file_, line, std::move(key), std::move(what), std::move(advice), false});
  ++errors_;
}

void fault_list::warn(unsigned line, std::string key, std::string what, std::string advice) {
  faults_.push_back({file_, line, std::move(key), std::move(what), std::move(advice), true});
}

std::vector<fault> fault_list::sorted() const {
  auto out = faults_;
  std::stable_sort(out.begin(), out.end(), [](const fault& a, const fault& b) { return a.line < b.line; });
  return out;
}

std::string fault_list::text() const {
  std::string out;
  for (const auto& f : sorted())
    out += to_string(f) + "\n";
  return out;
}

namespace {

// Edits (insert, drop, replace, swap neighbours) that lead from one word to the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before_last[j - 2] + 1);
    }
    before_last = last;
    last = now;
  }
  return last[b.size()];
}

} // namespace

std::string nearest(std::string_view written, const std::vector<std::string>& known) {
  std::string best;
  auto least = std::max<std::size_t>(1, written.size() / 3) + 1;
  for (const auto& word : known) {
    // A left-out unit ("session_ttl" for "session_ttl_ms") is far in letters but the same word.
    auto d = word.starts_with(written) && written.size() >= 3 ? 1 : distance(written, word);
    if (d < least) {
      least = d;
      best = word;
    }
  }
  return best;
}

} // namespace sallyport::config

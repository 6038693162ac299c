// How the commands talk to people: errors on stderr with what to do about them, tables, ages.
#pragma once

#include "cli/exit_code.hpp"
#include "protocol/time.hpp"

#include <string>
#include <vector>

namespace sallyport::cli {

/// "sallyport send: what" on stderr.
exit_code report(const std::string& command, exit_code code, const std::string& what);
/// The same for an error, with advice where one can be given; the exit code is the error's.
exit_code report(const std::string& command, const error& e);

/// "3.2 s", "5 min", "2 d".
[[nodiscard]] std::string short_duration(milliseconds d);

/// A text without what would move the cursor or colour the terminal: it came from somebody else.
[[nodiscard]] std::string printable(std::string_view text);

/// Columns of equal width; numbers (right) and words (left) as the first line of content has them.
class table {
public:
  explicit table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  [[nodiscard]] std::string text() const;

private:
  std::vector<std::vector<std::string>> rows_;
};

} // namespace sallyport::cli

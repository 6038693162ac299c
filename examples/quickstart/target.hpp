// The local system of the quickstart: a SQLite database whose tables have no key, so that a record that is lost shows, and one that
// arrives twice shows as well. The agents write it; we make it beforehand and judge it afterwards. One thread.
#pragma once

#include "examples/quickstart/records.hpp"

#include <cstdint>
#include <string>
#include <vector>

struct sqlite3;

namespace quickstart {

struct comparison {
  std::uint64_t delivered = 0;       // Records with a row of exactly their content.
  std::uint64_t lost = 0;            // Records without.
  std::uint64_t duplicated = 0;      // Rows beyond the first of their key.
  std::uint64_t foreign = 0;         // Rows whose key or content is none of ours.
  std::vector<std::string> examples; // A few of what is wrong, for people.
};

class target {
public:
  /// Makes the database with one empty table per dataset. Throws std::runtime_error when it cannot; so does every other function.
  explicit target(const std::string& path);
  ~target();
  target(const target&) = delete;
  target& operator=(const target&) = delete;

  [[nodiscard]] std::uint64_t rows();
  [[nodiscard]] std::uint64_t duplicates();
  /// Reads every row back and holds it against the records.
  [[nodiscard]] comparison compare(const std::vector<record>& records);

private:
  std::uint64_t number(const std::string& query);

  sqlite3* db_ = nullptr;
};

} // namespace quickstart

#include "examples/quickstart/target.hpp"

#include <sqlite3.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <unordered_map>

namespace quickstart {

namespace {

using statement = std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>;

[[noreturn]] void fail(sqlite3* db, const std::string& what) {
  throw std::runtime_error(what + ": " + (db ? sqlite3_errmsg(db) : "out of memory"));
}

statement prepare(sqlite3* db, const std::string& query) {
  sqlite3_stmt* made = nullptr;
  if (sqlite3_prepare_v2(db, query.c_str(), -1, &made, nullptr) != SQLITE_OK)
    fail(db, query);
  return {made, &sqlite3_finalize};
}

void for_each_row(sqlite3* db, const std::string& query, const std::function<void(sqlite3_stmt*)>& visit) {
  const auto rows = prepare(db, query);
  for (;;) {
    switch (sqlite3_step(rows.get())) {
      case SQLITE_ROW: visit(rows.get()); break;
      case SQLITE_DONE: return;
      default: fail(db, query);
    }
  }
}

std::string comma_list(const std::vector<std::string>& words) {
  std::string list;
  for (const auto& word : words)
    list += (list.empty() ? "" : ", ") + word;
  return list;
}

} // namespace

target::target(const std::string& path) {
  if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK)
    fail(db_, "opening " + path);
  sqlite3_busy_timeout(db_, 10'000);
  // Two agents write this file while we read it: with a write-ahead log readers and the writer do not wait for one another.
  for_each_row(db_, "PRAGMA journal_mode = WAL", [](sqlite3_stmt*) {});
  for (const auto& set : datasets())
    for_each_row(db_, "CREATE TABLE " + set.table + " (" + comma_list(set.columns) + ")", [](sqlite3_stmt*) {});
}

target::~target() {
  sqlite3_close(db_);
}

std::uint64_t target::number(const std::string& query) {
  std::uint64_t found = 0;
  for_each_row(db_, query, [&](sqlite3_stmt* row) { found = static_cast<std::uint64_t>(sqlite3_column_int64(row, 0)); });
  return found;
}

std::uint64_t target::rows() {
  std::uint64_t sum = 0;
  for (const auto& set : datasets())
    sum += number("SELECT count(*) FROM " + set.table);
  return sum;
}

std::uint64_t target::duplicates() {
  std::uint64_t sum = 0;
  for (const auto& set : datasets())
    sum += number("SELECT count(*) - count(DISTINCT " + set.columns.front() + ") FROM " + set.table);
  return sum;
}

comparison target::compare(const std::vector<record>& records) {
  struct seen {
    std::uint64_t right = 0, wrong = 0;
  };
  comparison result;
  const auto note = [&](std::string what) {
    if (result.examples.size() < 5)
      result.examples.push_back(std::move(what));
  };
  for (const auto& set : datasets()) {
    std::unordered_map<std::string, sallyport::digest128> wanted;
    for (const auto& r : records)
      if (r.set == &set)
        wanted.emplace(r.key, r.content);

    std::unordered_map<std::string, seen> found;
    for_each_row(db_, "SELECT " + comma_list(set.columns) + " FROM " + set.table, [&](sqlite3_stmt* row) {
      fields values;
      for (std::size_t i = 0; i < set.columns.size(); ++i) {
        const int column = static_cast<int>(i);
        if (sqlite3_column_type(row, column) != SQLITE_NULL)
          values.emplace(set.columns[i], std::string(reinterpret_cast<const char*>(sqlite3_column_text(row, column)),
                                                     static_cast<std::size_t>(sqlite3_column_bytes(row, column))));
      }
      const std::string& key = values[set.columns.front()];
      const auto want = wanted.find(key);
      const bool right = want != wanted.end() && want->second == content_of(set, values);
      auto& of_key = found[key];
      right ? ++of_key.right : ++of_key.wrong;
      if (!right)
        note(set.table + " has a row \"" + key + "\" that is not in " + set.file + " like that");
    });

    for (const auto& [key, of_key] : found) {
      result.foreign += of_key.wrong;
      if (const auto rows = of_key.right + of_key.wrong; rows > 1) {
        result.duplicated += rows - 1;
        note(set.table + " has " + std::to_string(rows) + " rows \"" + key + '"');
      }
    }
    for (const auto& [key, content] : wanted) {
      const auto it = found.find(key);
      const bool there = it != found.end() && it->second.right > 0;
      ++(there ? result.delivered : result.lost);
      if (!there)
        note("record \"" + key + "\" of " + set.file + " is not in " + set.table);
    }
  }
  return result;
}

} // namespace quickstart

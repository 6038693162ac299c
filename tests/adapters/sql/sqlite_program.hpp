#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

namespace sallyport::adapters::sql {

/// A second program on the same database.
class other_program {
public:
  explicit other_program(const std::string& path) { EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK); }
  ~other_program() { sqlite3_close(db_); }
  std::string run(const std::string& sql) {
    std::string first;
    char* fault = nullptr;
    sqlite3_exec(
      db_, sql.c_str(),
      [](void* out, int n, char** values, char**) {
        if (n > 0 && values[0] && static_cast<std::string*>(out)->empty())
          *static_cast<std::string*>(out) = values[0];
        return 0;
      },
      &first, &fault);
    if (fault)
      ADD_FAILURE() << sql << ": " << fault;
    sqlite3_free(fault);
    return first;
  }

private:
  sqlite3* db_ = nullptr;
};

} // namespace sallyport::adapters::sql

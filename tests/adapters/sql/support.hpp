// Settings and jobs of the sql tests: a table of names, without a unique constraint, so that a doubled effect shows.
#pragma once

#include "adapters/api/testing.hpp"
#include "adapters/sql/settings.hpp"

namespace sallyport::adapters::sql {

inline constexpr auto create_names =
  "CREATE TABLE IF NOT EXISTS names (code TEXT, name TEXT NOT NULL CHECK (name <> 'bad'), n BIGINT)";

inline settings name_settings(backend_kind backend) {
  settings s;
  s.backend = backend;
  s.setup = {create_names};
  const std::map<std::string, std::string> parameters{{"code", "data.code"}, {"name", "data.name"}, {"n", "data.n"}};
  const std::string insert = "INSERT INTO names (code, name, n) VALUES (:code, :name, :n)";
  s.statements["add"] = {insert, result_kind::none, false, parameters};
  s.statements["add_and_tell"] = {insert + " RETURNING code, n", result_kind::row, false, parameters};
  s.statements["get"] = {"SELECT code, name, n FROM names WHERE code = :code", result_kind::row, true, {{"code", "data.code"}}};
  s.statements["all"] = {"SELECT code FROM names ORDER BY code", result_kind::rows, true, {}};
  s.statement_by_type = {{"tell", "add_and_tell"}, {"get", "get"}, {"all", "all"}};
  s.default_statement = "add";
  return s;
}

inline std::string name_data(int n, const std::string& name = "Deutsch") {
  return R"({"code":"c)" + std::to_string(n) + R"(","name":")" + name + R"(","n":)" + std::to_string(n) + "}";
}

inline job name_job(std::uint64_t serial, const std::string& type = "add", std::uint32_t attempt = 1,
                    milliseconds left = milliseconds{30'000}) {
  return make_job(serial, type, name_data(static_cast<int>(serial)), attempt, left);
}

} // namespace sallyport::adapters::sql

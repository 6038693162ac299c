#include "adapters/api/conformance.hpp"

#include "adapters/file/settings.hpp"
#include "adapters/null/settings.hpp"
#include "tests/adapters/sql/sqlite_program.hpp"
#include "tests/adapters/sql/support.hpp"
#include "tests/support/temp_dir.hpp"

#include <filesystem>

namespace sallyport::adapters {
namespace {

class null_target final : public conformance_target {
public:
  explicit null_target(milliseconds latency) { s_.latency = latency; }
  factory make_factory() override { return null::make_factory(s_); }
  std::string good_data(int n) const override { return std::to_string(n); }

private:
  null::settings s_;
};

std::size_t files_under(const std::filesystem::path& path) {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{path})
    n += entry.is_regular_file();
  return n;
}

class file_target final : public conformance_target {
public:
  factory make_factory() override { return file::make_factory(of(dir_.path().string())); }
  std::string good_data(int n) const override {
    return R"({"op":"write","path":"in/)" + std::to_string(n) + R"(.txt","content":"x"})";
  }
  std::string bad_data() const override { return R"({"op":"read","path":"none.txt"})"; }
  std::int64_t effects() const override { return static_cast<std::int64_t>(files_under(dir_.path())); }
  factory make_unreachable() override { return file::make_factory(of(dir_ / "none")); }

private:
  static file::settings of(const std::string& root) {
    file::settings s;
    s.root = root;
    return s;
  }
  sallyport::testing::temp_dir dir_;
};

class sqlite_target final : public conformance_target {
  sallyport::testing::temp_dir dir; // Before the settings, which name it.

public:
  sql::settings s = [this] {
    auto made = sql::name_settings(sql::backend_kind::sqlite);
    made.path = dir / "a b.db";
    made.create = true;
    made.statements["endless"] = {
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", {}, {}, {}};
    made.statement_by_type["slow"] = "endless";
    return made;
  }();

  factory make_factory() override { return sql::make_factory(s); }
  std::string good_type() const override { return "tell"; }
  std::string good_data(int n) const override { return sql::name_data(n); }
  std::string bad_data() const override { return sql::name_data(0, "bad"); }
  std::string slow_type() const override { return "slow"; }
  std::string slow_data() const override { return "{}"; }
  std::int64_t effects() const override {
    sql::other_program p{s.path};
    p.run(sql::create_names);
    return std::stoll(p.run("SELECT count(*) FROM names"));
  }
  factory make_unreachable() override {
    auto away = s;
    away.path = dir / "none/at/all.db";
    return sql::make_factory(away);
  }
};

template <class Target, class... Args>
make_conformance_target make(Args... args) {
  return [args...] { return std::make_unique<Target>(args...); };
}

INSTANTIATE_TEST_SUITE_P(null, adapter_conformance,
                         ::testing::Values(make<null_target>(milliseconds{0}), make<null_target>(milliseconds{5})));
INSTANTIATE_TEST_SUITE_P(file, adapter_conformance, ::testing::Values(make<file_target>()));
INSTANTIATE_TEST_SUITE_P(sqlite, adapter_conformance, ::testing::Values(make<sqlite_target>()));

} // namespace
} // namespace sallyport::adapters

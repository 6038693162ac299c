#include "adapters/api/testing.hpp"
#include "adapters/null/settings.hpp"

#include <atomic>
#include <future>

namespace sallyport::adapters {
namespace {

TEST(null_adapter, counts_and_answers) {
  null::settings s;
  s.result = R"({"ok":true})";
  s.performed = std::make_shared<std::atomic<std::uint64_t>>(0);
  const auto a = null::make_factory(s).make();
  EXPECT_EQ(perform_one(*a, make_job(1, "x", "1")).result, s.result);
  EXPECT_EQ(s.performed->load(), 1u);
}

TEST(null_adapter, a_long_latency_ends_with_the_cancel) {
  null::settings s;
  s.latency = milliseconds{60'000};
  const auto a = null::make_factory(s).make();
  auto j = make_job(1, "x", "1", 1, milliseconds{120'000});
  auto running = std::async(std::launch::async, [&] { return perform_one(*a, j); });
  j.cancel->raise(cancel_reason::shutdown);
  EXPECT_EQ(running.get().what, outcome::kind::failed);
}

TEST(null_adapter, blocks_only_when_it_has_a_latency) {
  null::settings s;
  EXPECT_FALSE(null::make_factory(s).about.blocks);
  s.latency = milliseconds{1};
  EXPECT_TRUE(null::make_factory(s).about.blocks);
}

TEST(null_adapter, check_names_every_fault) {
  null::settings s;
  s.batch_max = 0;
  s.workers = 0;
  s.latency = milliseconds{-1};
  const auto checked = null::check(s);
  ASSERT_FALSE(checked.ok());
  for (const auto* word : {"batch_max", "workers", "latency"})
    EXPECT_NE(checked.err().detail.find(word), std::string::npos);
}

} // namespace
} // namespace sallyport::adapters

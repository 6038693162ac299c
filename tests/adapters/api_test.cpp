#include "adapters/api/adapter.hpp"
#include "adapters/api/event_reader.hpp"
#include "adapters/api/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace sallyport::adapters {
namespace {

TEST(cancel_signal, the_first_reason_stays_and_the_hook_runs_once) {
  cancel_signal signal;
  int runs = 0;
  signal.set_hook([&] { ++runs; });
  EXPECT_FALSE(signal);
  signal.raise(cancel_reason::lost_lease);
  signal.raise(cancel_reason::shutdown);
  EXPECT_EQ(signal.raised(), cancel_reason::lost_lease);
  EXPECT_EQ(runs, 1);
}

TEST(cancel_signal, a_hook_set_too_late_runs_at_once_and_a_cleared_one_never) {
  cancel_signal signal;
  int runs = 0;
  signal.set_hook([&] { runs += 10; });
  signal.clear_hook();
  signal.raise(cancel_reason::shutdown);
  EXPECT_EQ(runs, 0);
  signal.set_hook([&] { ++runs; });
  EXPECT_EQ(runs, 1);
}

TEST(cancel_signal, clearing_waits_for_a_hook_that_runs) {
  cancel_signal signal;
  std::promise<void> inside, go_on;
  std::atomic<bool> ended{false};
  signal.set_hook([&] {
    inside.set_value();
    go_on.get_future().wait();
    ended = true;
  });
  std::thread raiser{[&] { signal.raise(cancel_reason::lost_lease); }};
  inside.get_future().wait();
  auto cleared = std::async(std::launch::async, [&] {
    signal.clear_hook();
    return ended.load();
  });
  go_on.set_value();
  EXPECT_TRUE(cleared.get());
  raiser.join();
}

TEST(cancel_signal, raced_by_set_and_raise_the_hook_runs_exactly_once) {
  for (int round = 0; round < 2000; ++round) {
    cancel_signal signal;
    std::atomic<int> runs{0};
    std::thread raiser{[&] { signal.raise(cancel_reason::lost_lease); }};
    signal.set_hook([&] { ++runs; });
    raiser.join();
    EXPECT_EQ(runs.load(), 1);
  }
}

TEST(outcomes, an_error_is_one_line_and_no_character_is_cut_in_two) {
  const auto o = failed({.error = "a\nb\t" + std::string(1018, 'x') + "ü" + std::string(50, 'y') + "\n"});
  EXPECT_EQ(o.error.substr(0, 4), "a b ");
  EXPECT_LE(o.error.size(), 1024u);
  EXPECT_TRUE(is_utf8(o.error));
  EXPECT_EQ(failed({.error = "x\n"}).error, "x");
}

TEST(event_reader, finds_members_and_items_by_path) {
  const std::string event =
    R"( {"id" : "a\"1", "data": {"a": {"b": [10, {"c": "\u00fc\ud83d\ude00"}]}, "e": {}, "f": [], "t": true, "n": null,
    "x\u0079": -1.5e3 , "tricky": "},]{[\\\" "}, "after": "}"} )";
  const event_reader reader{event};
  EXPECT_EQ(reader.at("id").text(), "a\"1");
  EXPECT_EQ(reader.at("data.a.b.0").raw, "10");
  EXPECT_EQ(reader.at("data.a.b.1.c").text(), "ü😀");
  EXPECT_EQ(reader.at("data.a.b").raw, R"([10, {"c": "\u00fc\ud83d\ude00"}])");
  EXPECT_EQ(reader.at("data.xy").raw, "-1.5e3");
  EXPECT_EQ(reader.at("data.tricky").text(), "},]{[\\\" ");
  EXPECT_EQ(reader.at("after").text(), "}");
  EXPECT_EQ(reader.at("data.t").what, event_value::kind::boolean);
  EXPECT_EQ(reader.at("data.n").what, event_value::kind::null);
  for (const auto* missing : {"none", "data.none", "data.a.b.2", "data.a.b.x", "data.a.b.0.c", "id.x", "data.e.x", "data.f.0"})
    EXPECT_TRUE(reader.at(missing).is_missing()) << missing;
}

TEST(event_reader, a_string_ends_at_the_first_quote_that_is_not_escaped) {
  for (std::size_t backslashes = 0; backslashes < 9; ++backslashes) {
    // Pairs of them are backslashes; a single one makes the quote after it part of the text.
    const auto text = "x" + std::string(backslashes, '\\') + (backslashes % 2 == 1 ? "\"" : "");
    const auto event = R"({"a":")" + text + R"(","b":["}\"",{"c\\":"\\"},""],"d":7})";
    const event_reader reader{event};
    EXPECT_EQ(reader.at("a").raw, '"' + text + '"');
    EXPECT_EQ(reader.at("b.0").text(), "}\"");
    EXPECT_EQ(reader.at("b.1").raw, R"({"c\\":"\\"})");
    EXPECT_EQ(reader.at("b.2").raw, R"("")");
    EXPECT_EQ(reader.at("d").raw, "7");
  }
}

TEST(event_reader, reads_nothing_out_of_what_is_no_json_and_never_past_its_end) {
  const std::string whole = R"({"id":"\u00fc","data":{"a":[1,{"b":"c\\"}],"d":tr}})";
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    const auto copy = std::make_unique<char[]>(size); // Exactly as long, so that a sanitizer sees a step too far.
    std::copy_n(whole.data(), size, copy.get());
    const event_reader reader{{copy.get(), size}};
    for (const auto* path : {"id", "data.a.1.b", "data.d"})
      (void)reader.at(path).text();
  }
  EXPECT_TRUE(event_reader{"nonsense"}.at("id").is_missing());
  EXPECT_TRUE(event_reader{"[1]"}.at("id").is_missing());
}

TEST(event_reader, data_that_is_no_object_is_one_value) {
  EXPECT_EQ(event_reader{R"({"data":"text"})"}.at("data").text(), "text");
  EXPECT_EQ(event_reader{R"({"data":[1,2]})"}.at("data.1").raw, "2");
}

TEST(base64, goes_there_and_back) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  std::string all;
  for (int i = 0; i < 256; ++i) {
    all += static_cast<char>(i);
    EXPECT_EQ(base64_decode(base64_encode(all)), all);
  }
  for (const auto* wrong : {"Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Z g=", "Zm9v\n", "===="})
    EXPECT_FALSE(base64_decode(wrong)) << wrong;
}

} // namespace
} // namespace sallyport::adapters

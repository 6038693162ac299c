// The cursor is held to simdjson's DOM, an independent reader: on everything but the three differences we want (numbers of any range,
// repeated keys, depth) they must agree, also on text that is nearly JSON.
#include "protocol/cursor.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <vector>

namespace sallyport::detail {
namespace {

bool accepts(std::string_view text, std::size_t depth = 500) {
  json_cursor in{text, depth};
  return in.skip() && in.finish();
}

json_fault fault_of(std::string_view text, std::size_t depth = 500) {
  json_cursor in{text, depth};
  return in.skip() && in.finish() ? json_fault::none : in.fault();
}

TEST(json_cursor, refuses_what_is_not_json) {
  for (auto text : {"",
                    " ",
                    "tru",
                    "truee",
                    "nul",
                    "nan",
                    "Infinity",
                    "'a'",
                    "{a:1}",
                    "{\"a\"}",
                    "{\"a\":}",
                    "{\"a\":1,}",
                    "{,}",
                    "[1,]",
                    "[,1]",
                    "[1 2]",
                    "{\"a\":1 \"b\":2}",
                    "[1}",
                    "{\"a\":1]",
                    "[",
                    "{",
                    "[[]",
                    "]",
                    "1 2",
                    "[] []",
                    "{}x",
                    "\"a",
                    "\"\\",
                    "\"\\x\"",
                    "\"\\u12\"",
                    "\"\\u12g4\"",
                    "\"\n\"",
                    "\"\t\"",
                    "01",
                    "-",
                    "-a",
                    "+1",
                    ".5",
                    "1.",
                    "1.e5",
                    "1e",
                    "1e+",
                    "0x10",
                    "1_000",
                    "--1",
                    "// comment\n1",
                    "[1,/**/2]",
                    "\x0c[]",
                    "\xa0[]"})
    EXPECT_FALSE(accepts(text)) << text;
}

TEST(json_cursor, accepts_numbers_of_any_range) {
  for (auto text : {"0", "-0", "1", "-1", "1.5", "1e5", "1E-5", "1e+5", "1e999", "-1e999", "1e-999999999", "0.0e0",
                    "12345678901234567890123456789012345678", "-99999999999999999999999999.99999999999999999999999999"})
    EXPECT_TRUE(accepts(text)) << text;
}

TEST(json_cursor, refuses_lone_surrogates_and_joins_pairs) {
  for (auto text : {R"("\ud800")", R"("\udc00")", R"("\ud800x")", R"("\ud800\n")", R"("\ud800\ud800")", R"("\udc00\ud800")",
                    R"("\ud800\u0041")", R"("\ud83d\ude0")", "\"\\ud83d\\ude0"})
    EXPECT_EQ(fault_of(text), json_fault::malformed) << text;
  json_cursor in{R"("\ud83d\ude00 \u00e9\u6f22\"\\\/\b\f\n\r\t")", 1};
  std::string_view text;
  ASSERT_TRUE(in.string(text));
  EXPECT_EQ(text, "😀 é漢\"\\/\b\f\n\r\t");
}

TEST(json_cursor, says_at_which_byte_the_utf8_ends) {
  for (auto bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80"}) {
    const auto text = "[\"é\",\"" + std::string{bad} + "\"]";
    json_cursor in{text, 10};
    EXPECT_FALSE(in.skip() && in.finish());
    EXPECT_EQ(in.fault(), json_fault::invalid_utf8);
    EXPECT_EQ(in.describe_fault(), "at byte 7: not UTF-8");
  }
  EXPECT_EQ(fault_of("[]\xff"), json_fault::invalid_utf8); // After the document too.
  EXPECT_EQ(fault_of("\xff"), json_fault::invalid_utf8);
  EXPECT_EQ(fault_of("[1 2 \"\xff\"]"), json_fault::malformed); // What comes first is reported first.
}

TEST(json_cursor, counts_depth_from_the_outermost_bracket) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(accepts(nested(64), 64));
  EXPECT_EQ(fault_of(nested(65), 64), json_fault::too_deep);
  EXPECT_TRUE(accepts("1", 0));
  EXPECT_TRUE(accepts(nested(json_cursor::depth_limit), 1'000'000));
  EXPECT_EQ(fault_of(nested(json_cursor::depth_limit + 1), 1'000'000), json_fault::too_deep); // Whatever a setting says.
  EXPECT_EQ(fault_of(std::string(2'000'000, '['), 1'000'000), json_fault::too_deep);
}

TEST(json_cursor, raw_slices_are_exactly_the_values_bytes) {
  const std::string_view text = " { \"a\" : [ 1 , {\"b\" : \"\\u0041\"} ] , \"c\":1e999 } ";
  json_cursor in{text, 10};
  std::vector<std::string_view> slices;
  ASSERT_TRUE(in.members([&](std::string_view) { return in.raw(slices.emplace_back()); }) && in.finish());
  EXPECT_EQ(slices, (std::vector<std::string_view>{"[ 1 , {\"b\" : \"\\u0041\"} ]", "1e999"}));
}

TEST(json_cursor, a_key_is_the_same_however_it_is_escaped) {
  for (auto text : {R"({"id":1,"id":2})", R"({"id":1,"\u0069d":2})", R"({"\u0069d":1,"i\u0064":2})", R"({"":1,"":2})"}) {
    json_cursor in{text, 10};
    EXPECT_FALSE(in.members([&](std::string_view) { return in.skip(); })) << text;
    EXPECT_EQ(in.fault(), json_fault::duplicate_key) << text;
  }
  json_cursor in{R"({"id":1,"Id":2,"\u0049D":3,"iD":4})", 10};
  EXPECT_TRUE(in.members([&](std::string_view) { return in.skip(); }) && in.finish());
}

TEST(json_cursor, bounds_the_members_it_tells_apart) {
  const auto object = [](std::size_t n) {
    std::string text = "{";
    for (std::size_t i = 0; i < n; ++i)
      text.append(i ? ",\"k" : "\"k").append(std::to_string(i)).append("\":1");
    return text + "}";
  };
  const auto fault = [](const std::string& text) {
    json_cursor in{text, 10};
    return in.members([&](std::string_view) { return in.skip(); }) ? json_fault::none : in.fault();
  };
  EXPECT_EQ(fault(object(key_set::limit)), json_fault::none);
  EXPECT_EQ(fault(object(key_set::limit + 1)), json_fault::too_many_members);
  EXPECT_TRUE(accepts(object(100'000))); // Skipped objects are not looked into.
}

const char* const seeds[] = {
  R"({"specversion":"1.0","id":"1","source":"/a","type":"t","data":{"n":[1,-2.5e3,true,false,null],"s":"a\u00e9\ud83d\ude00\n"}})",
  R"([{"a":"b"},[],{},"",0,-0.0,1E+2,"\"\\\/\b\f\n\r\t",[[[[1]]]]])",
  "{\"grö\xc3\x9f"
  "e\":\"漢字 😀\",\"x\":[null,{\"y\":false}]}",
  R"("a string that is longer than sixteen bytes, with \u0041 an escape behind the first block, and more")",
};

// One small change each: a byte set, removed, doubled or swapped; mostly structural bytes, so that much of it is nearly JSON.
std::string mutated(std::string text, std::mt19937& random) {
  constexpr std::string_view likely = "{}[]:,\"\\ \n\t-+.eE0123456789truefalsn/ud8cDC\x80\xbf\xc3\xe2\xf0\xff\x01";
  for (auto changes = 1 + random() % 3; changes > 0 && !text.empty(); --changes) {
    const auto at = random() % text.size();
    switch (random() % 4) {
      case 0: text[at] = likely[random() % likely.size()]; break;
      case 1: text.erase(at, 1 + random() % 3); break;
      case 2: text.insert(at, 1, likely[random() % likely.size()]); break;
      default: std::swap(text[at], text[random() % text.size()]); break;
    }
  }
  return text;
}

TEST(json_cursor, agrees_with_simdjson_on_text_that_is_nearly_json) {
  const unsigned seed = 20260131;
  std::mt19937 random{seed};
  simdjson::dom::parser parser;
  int accepted = 0, wider = 0;
  for (int round = 0; round < 200'000; ++round) {
    const auto text = mutated(seeds[round % std::size(seeds)], random);
    simdjson::dom::element root;
    const auto verdict = parser.parse(text).get(root);
    const bool ours = accepts(text);
    accepted += ours;
    if (ours && verdict == simdjson::NUMBER_ERROR) {
      ++wider; // Out of simdjson's range; the grammar is tested above.
      continue;
    }
    ASSERT_EQ(ours, verdict == simdjson::SUCCESS)
      << "seed " << seed << " round " << round << ": " << simdjson::error_message(verdict) << ": " << text;
  }
  EXPECT_GT(accepted, 20'000); // Else the comparison says little.
  EXPECT_GT(200'000 - accepted, 20'000);
  RecordProperty("accepted", accepted);
  RecordProperty("wider", wider);
}

TEST(json_cursor, reads_strings_as_simdjson_does) {
  std::mt19937 random{42};
  simdjson::dom::parser parser;
  int compared = 0;
  for (int round = 0; round < 50'000; ++round) {
    const auto text = mutated(seeds[3], random);
    std::string_view theirs, ours;
    if (parser.parse(text).get(theirs) != simdjson::SUCCESS)
      continue;
    json_cursor in{text, 1};
    ASSERT_TRUE(in.string(ours) && in.finish()) << text;
    ASSERT_EQ(ours, theirs);
    ++compared;
  }
  EXPECT_GT(compared, 10'000);
}

} // namespace
} // namespace sallyport::detail

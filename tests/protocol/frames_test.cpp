// The framed form against the JSON of the same structs, and against bytes written here by hand: the numbers that other versions rely on.
#include "protocol/codec.hpp"
#include "protocol/frames.hpp"

#include <gtest/gtest.h>

#include <random>
#include <variant>

namespace sallyport::wire {
namespace {

constexpr message_id m1{17, 1}, m2{17, 300};
constexpr fence_token f3{17, 3}, f4{UINT64_MAX, 0};
const auto event_bytes = std::make_shared<const std::string>(R"({ "specversion":"1.0","data":[1e999, "}" ] })");

// Calls check(value) with every field set, and with none that may be left out.
template <class Check>
void for_each_body(Check check) {
  check(claim_reply{});
  check(claim_reply{{{m1, f3, {"erp-db"}, 2, seconds{60}, "Größe \"1\"", true, event_bytes},
                     {m2, f4, {"files"}, UINT32_MAX, milliseconds{1}, "", false, event_bytes}}});
  check(settle{});
  check(settle{{"Id_1"},
               {{m1, f3, outcome_kind::failed, failure_scope::target, false, effect_state::unknown, "no route", milliseconds{500},
                 true, "[1e999]"},
                {m2, f4, {}, {}, true, {}, "", {}, false, ""}}});
  check(settle_reply{});
  check(settle_reply{{{m1, f3, verdict_kind::already, "dead", outcome_kind::failed, {}},
                      {m2, f4, verdict_kind::unknown, "granted", {}, errc::not_holder},
                      {m2, f4, verdict_kind::stale, "", {}, {}}}});
}

template <class T>
error refusal(std::string_view bytes) {
  auto v = decode_frames<T>(bytes);
  return v ? make_error(errc::internal, "was accepted: " + encode(*v)) : v.err();
}

// Bytes by hand: numbers are bytes, text is text.
std::string bytes(std::initializer_list<std::variant<int, std::string>> parts) {
  std::string out;
  for (const auto& p : parts)
    if (const auto* text = std::get_if<std::string>(&p))
      out += *text;
    else
      out += static_cast<char>(std::get<int>(p));
  return out;
}
std::string with_length(const std::string& body) {
  std::string out;
  for (std::size_t i = 0; i < 4; ++i)
    out += static_cast<char>(body.size() >> 8 * i);
  return out + body;
}
std::string framed(int tag, const std::string& value) {
  return static_cast<char>(tag) + with_length(value);
}

// The body of one element, whose fields are these bytes.
std::string one(const std::string& fields_of_element, int tag = 4 + 2) {
  return with_length(framed(tag, fields_of_element));
}

const std::string grant_fields =
  bytes({4 + 1, 17, 1, 8 + 1, 17, 3, framed(12 + 2, "erp-db"), 16, 2, 20, 0xe0, 0xd4, 0x03, framed(32 + 2, *event_bytes)});
const std::string settlement_fields = bytes({4 + 1, 17, 1, 8 + 1, 17, 3, 12, 1});

TEST(frames, are_the_bytes_the_contract_says) {
  EXPECT_EQ(encode_frames(claim_reply{{{m1, f3, {"erp-db"}, 2, seconds{60}, "", false, event_bytes}}}), one(grant_fields));
  EXPECT_EQ(encode_frames(claim_reply{{{m2, f4, {"a"}, 1, milliseconds{127}, "k", true, event_bytes}}}),
            one(bytes({4 + 1,
                       17,
                       0xac,
                       2,
                       8 + 1,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       0xff,
                       1,
                       0,
                       framed(12 + 2, "a"),
                       16,
                       1,
                       20,
                       127,
                       framed(24 + 2, "k"),
                       28,
                       1,
                       framed(32 + 2, *event_bytes)})));
  EXPECT_EQ(encode_frames(settle{{"Id_1"},
                                 {{m1, f3, outcome_kind::failed, failure_scope::target, false, effect_state::unknown, "no route",
                                   milliseconds{500}, true, "[1]"}}}),
            with_length(framed(4 + 2, "Id_1")
                        + framed(8 + 2, settlement_fields
                                          + bytes({16, 1, 20, 0, 24, 1, framed(28 + 2, "no route"), 32, 0xf4, 3, 36, 1,
                                                   framed(40 + 2, "[1]")}))));
  EXPECT_EQ(encode_frames(settle_reply{{{m1, f3, verdict_kind::already, "dead", outcome_kind::release, {}}}}),
            one(bytes({4 + 1, 17, 1, 8 + 1, 17, 3, 12, 1, framed(16 + 2, "dead"), 20, 2})));
  EXPECT_EQ(encode_frames(settle_reply{{{m1, f3, verdict_kind::burnt, "", {}, {}}}}),
            one(bytes({4 + 1, 17, 1, 8 + 1, 17, 3, 12, 3, framed(24 + 2, "burnt_fence")})));
  EXPECT_EQ(encode_frames(claim_reply{}), with_length(""));
}

TEST(frames, say_the_same_as_the_json) {
  for_each_body([](const auto& v) {
    using body = std::decay_t<decltype(v)>;
    const auto back = decode_frames<body>(encode_frames(v));
    ASSERT_TRUE(back) << to_string(back.err());
    EXPECT_EQ(encode(*back), encode(v));
    EXPECT_EQ(encode_frames(*back), encode_frames(v));
  });
}

TEST(frames, hold_more_than_was_reserved_for_them) {
  settle_reply many;
  for (std::uint64_t i = 0; i < 1000; ++i)
    many.items.push_back({{UINT64_MAX, i}, {UINT64_MAX, UINT64_MAX}, verdict_kind::unknown, std::string(i, 'x'), {}, {}});
  const auto back = decode_frames<settle_reply>(encode_frames(many));
  ASSERT_TRUE(back) << to_string(back.err());
  EXPECT_EQ(encode(*back), encode(many));
}

TEST(frames, cut_off_anywhere_are_refused) {
  for_each_body([](const auto& v) {
    using body = std::decay_t<decltype(v)>;
    const auto whole = encode_frames(v);
    for (std::size_t n = 0; n < whole.size(); ++n)
      ASSERT_EQ(refusal<body>(whole.substr(0, n)).code, errc::invalid_request) << n;
    EXPECT_EQ(refusal<body>(whole + "x"), make_error(errc::invalid_request, "1 bytes follow the body's end"));
  });
}

TEST(frames, changed_anywhere_are_refused_or_read_but_never_trusted) {
  std::mt19937 random{20260131};
  for_each_body([&](const auto& v) {
    using body = std::decay_t<decltype(v)>;
    const auto whole = encode_frames(v);
    for (int round = 0; round < 20'000; ++round) {
      auto changed = whole;
      for (int k = 0; k < 2; ++k)
        changed[random() % changed.size()] = static_cast<char>(random());
      const auto back = decode_frames<body>(changed);
      if (!back) {
        ASSERT_FALSE(back.err().detail.empty());
        continue;
      }
      const auto again = encode_frames(*back);
      const auto reread = decode_frames<body>(again);
      ASSERT_TRUE(reread) << to_string(reread.err());
      ASSERT_EQ(encode_frames(*reread), again);
    }
  });
}

TEST(frames, pass_over_fields_of_a_newer_version) {
  for (const auto& unknown :
       {bytes({0, 1}), bytes({252, 0xff, 1}), bytes({253, 1, 2}), bytes({1, 1, 2}), framed(254, "anything"), framed(2, "")}) {
    const auto grants = decode_frames<claim_reply>(with_length(unknown + framed(6, unknown + grant_fields + unknown) + unknown));
    ASSERT_TRUE(grants) << to_string(grants.err());
    EXPECT_EQ(encode_frames(*grants), one(grant_fields));
  }
  EXPECT_EQ(refusal<claim_reply>(one(bytes({255, 0}))).detail, "grants[0]: a tag is of no known kind");
  EXPECT_EQ(refusal<claim_reply>(one(framed(254, "") + "\xfd")).detail, "grants[0]: a varint has no end");
}

TEST(frames, refusals_name_the_field_and_what_was_expected) {
  const auto of_grant = [](const std::string& fields_of_grant) { return refusal<claim_reply>(one(fields_of_grant)).detail; };
  const auto of_settlement = [](const std::string& fields_of_settlement) {
    return refusal<settle>(one(fields_of_settlement, 8 + 2)).detail;
  };
  EXPECT_EQ(of_grant(""), "grants[0].message: is missing");
  EXPECT_EQ(of_grant(bytes({5, 1, 1})), "grants[0].fence: is missing");
  EXPECT_EQ(of_grant(grant_fields + bytes({16, 1})), "grants[0].attempt: comes twice");
  EXPECT_EQ(of_grant(bytes({4, 17})), "grants[0].message: its tag is of another kind");
  EXPECT_EQ(of_grant(bytes({7, 17})), "grants[0].message: its tag is of another kind");
  EXPECT_EQ(of_grant(bytes({5, 0x81, 0, 1})), "grants[0].message: a varint is not the shortest, or more than 64 bits");
  EXPECT_EQ(of_grant("\x05" + std::string(9, '\xff') + "\x02"),
            "grants[0].message: a varint is not the shortest, or more than 64 bits");
  EXPECT_EQ(of_grant("\x05" + std::string(20, '\xff')), "grants[0].message: a varint has no end");
  EXPECT_EQ(of_grant(framed(14, "Ä")),
            "grants[0].connection: expected 1 to 63 of a-z 0-9 . _ - beginning with a letter or digit");
  EXPECT_EQ(of_grant(bytes({16, 0})), "grants[0].attempt: expected an integer from 1 to 4294967295");
  EXPECT_EQ(of_grant(bytes({28, 2})), "grants[0].call: expected an integer from 0 to 1");
  EXPECT_EQ(of_grant(framed(34, "[]")), "grants[0].event: expected an object");
  EXPECT_EQ(of_grant(framed(34, "{")), "grants[0].event: expected an object");
  EXPECT_EQ(of_grant(bytes({34, 2, 0, 0})), "grants[0].event: a length is cut off");
  EXPECT_EQ(of_grant(bytes({34, 3, 0, 0, 0, "{}"})), "grants[0].event: 3 bytes are announced, 2 are there");
  EXPECT_EQ(of_grant(bytes({34, 0xff, 0xff, 0xff, 0xff, "{}"})), "grants[0].event: 4294967295 bytes are announced, 2 are there");
  EXPECT_EQ(refusal<claim_reply>(one(framed(26, "\xff"))).code, errc::invalid_utf8);
  EXPECT_EQ(of_settlement(bytes({12, 3})), "items[0].outcome: expected an integer from 0 to 2");
  EXPECT_TRUE(of_settlement(settlement_fields + framed(42, "[tru]")).starts_with("items[0].result: "));
  EXPECT_EQ(refusal<settle>(one(settlement_fields + framed(42, "[tru]"), 10)).code, errc::malformed_json);
  EXPECT_EQ(refusal<settle>(one(settlement_fields + framed(42, ""), 10)).code, errc::malformed_json);
  EXPECT_EQ(refusal<settle>(one(settlement_fields + framed(42, "\"\xff\""), 10)).code, errc::invalid_utf8);
  EXPECT_EQ(of_settlement(settlement_fields + framed(42, '"' + std::string(256 * 1024, 'x') + '"')),
            "items[0].result: expected at most 262144 bytes");
  EXPECT_EQ(refusal<settle>(with_length(framed(6, "no blank"))).detail, "agent_id: expected 1 to 64 of A-Z a-z 0-9 _ -");
  EXPECT_EQ(refusal<settle>("{\"items\":[]}").detail,
            "1953047163 bytes are announced, 8 are there"); // JSON under the wrong name.
}

TEST(frames, may_be_of_a_hub_that_knows_more_codes) {
  const auto reply =
    decode_frames<settle_reply>(one(bytes({4 + 1, 17, 1, 8 + 1, 17, 3, 12, 2, framed(24 + 2, "from_the_future")})));
  ASSERT_TRUE(reply) << to_string(reply.err());
  EXPECT_EQ(reply->items[0].kind, verdict_kind::stale);
  EXPECT_EQ(reply->items[0].code, std::nullopt);
}

} // namespace
} // namespace sallyport::wire

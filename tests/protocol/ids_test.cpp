#include "protocol/errors.hpp"
#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <gtest/gtest.h>

#include <set>

namespace sallyport {
namespace {

// ---- ids -----------------------------------------------------------------------------------------------------------------------

TEST(ids, their_written_form_reads_back_the_same) {
  for (std::uint64_t epoch : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1'769'860'800'000}, UINT64_MAX})
    for (std::uint64_t n : {std::uint64_t{0}, std::uint64_t{7}, UINT64_MAX}) {
      EXPECT_EQ(parse_fence(to_string(fence_token{epoch, n})), (fence_token{epoch, n}));
      EXPECT_EQ(parse_message_id(to_string(message_id{epoch, n})), (message_id{epoch, n}));
      EXPECT_EQ(parse_session_id(to_string(session_id{epoch, n})), (session_id{epoch, n}));
    }
  EXPECT_EQ(to_string(fence_token{12, 34}), "12-34");
  EXPECT_EQ(to_string(message_id{12, 34}), "m12-34");
  EXPECT_EQ(to_string(session_id{12, 34}), "s12-34");
}

TEST(ids, there_is_one_written_form_per_value_and_nothing_else_is_read) {
  for (auto text : {"", "-", "1", "1-", "-1", "1-2-3", "01-2", "1-02", "+1-2", "1--2", " 1-2", "1-2 ", "1-x", "0x1-2", "m1-2",
                    "18446744073709551616-1", "1-18446744073709551616", "1.0-2"})
    EXPECT_FALSE(parse_fence(text)) << text;
  for (auto text : {"", "m", "m1", "1-2", "s1-2", "M1-2", "mm1-2", "m1-", "m-1"})
    EXPECT_FALSE(parse_message_id(text)) << text;
  for (auto text : {"", "s", "1-2", "m1-2", "s1_2"})
    EXPECT_FALSE(parse_session_id(text)) << text;
  EXPECT_FALSE(parse_fence(std::string_view{"1-2\0", 4}));
}

TEST(ids, fences_rise_by_epoch_first_and_counter_second) {
  EXPECT_LT((fence_token{1, 900}), (fence_token{2, 1}));
  EXPECT_LT((fence_token{2, 1}), (fence_token{2, 2}));
  EXPECT_TRUE(fence_token{}.is_none());
  EXPECT_FALSE((fence_token{0, 1}).is_none());
}

TEST(ids, names_are_short_lower_case_and_begin_with_a_letter_or_digit) {
  for (auto ok : {"a", "0", "erp-db", "plant.7_line-2", "a.b.c"})
    EXPECT_TRUE(is_valid_name(ok)) << ok;
  for (auto bad : {"", "-a", ".a", "_a", "A", "erp db", "a/b", "ä", "a%20"})
    EXPECT_FALSE(is_valid_name(bad)) << bad;
  EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
}

TEST(ids, token_ids_also_have_capitals_but_no_dots) {
  for (auto ok : {"a", "Ab_9-", "-", "_"})
    EXPECT_TRUE(is_valid_token_id(ok)) << ok;
  for (auto bad : {"", "a.b", "a b", "ü"})
    EXPECT_FALSE(is_valid_token_id(bad)) << bad;
  EXPECT_TRUE(is_valid_token_id(std::string(64, 'A')));
  EXPECT_FALSE(is_valid_token_id(std::string(65, 'A')));
}

// The expected values below were computed with coreutils' sha256sum.
TEST(held_summary, is_the_xor_of_the_first_eight_bytes_of_each_fences_sha256) {
  held_summary held;
  EXPECT_EQ(held.hash(), 0u);
  held.add({1, 2}); // printf 1-2 | sha256sum
  EXPECT_EQ(held.hash(), 0x412a4789b02cad19u);
  held.add({1'769'860'800'000, 42}); // printf 1769860800000-42 | sha256sum
  EXPECT_EQ(held.hash(), 0x412a4789b02cad19u ^ 0xccad34b07d2e0908u);
  EXPECT_EQ(held.count(), 2u);
  held.remove({1, 2});
  EXPECT_EQ(held.hash(), 0xccad34b07d2e0908u);
  EXPECT_EQ(held.count(), 1u);
}

TEST(held_summary, does_not_depend_on_the_order) {
  held_summary forth, back;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    forth.add({7, i});
    back.add({7, 101 - i});
  }
  EXPECT_EQ(forth, back);
  back.remove({7, 50});
  EXPECT_NE(forth, back);
}

// printf '\0\0\0\0\0\0\0\002ab\0\0\0\0\0\0\0\001c' | sha256sum
TEST(hash_parts, is_sha256_over_the_parts_each_led_by_its_length) {
  EXPECT_EQ(hash_parts({"ab", "c"}), (digest128{0x601d5476e2ccfe2cu, 0x87a2bba7a3226597u}));
}

TEST(hash_parts, parts_cannot_be_shifted_into_each_other) {
  const std::set<digest128> different{hash_parts({"ab", "c"}), hash_parts({"a", "bc"}), hash_parts({"abc"}),
                                      hash_parts({"abc", ""}), hash_parts({"", "abc"}), hash_parts({})};
  EXPECT_EQ(different.size(), 6u);
}

// ---- errors --------------------------------------------------------------------------------------------------------------------

struct error_line {
  errc code;
  int number;
  int status;
};
constexpr error_line error_lines[] = {
#define SALLYPORT_X(name, number, status, adv, sentence) {errc::name, number, status},
  SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
};

TEST(errors, every_code_has_a_number_a_text_and_a_sentence_of_its_own) {
  std::set<int> numbers;
  std::set<std::string_view> texts, sentences;
  for (const auto& line : error_lines) {
    EXPECT_TRUE(numbers.insert(line.number).second) << line.number;
    EXPECT_TRUE(texts.insert(to_string(line.code)).second) << to_string(line.code);
    EXPECT_TRUE(sentences.insert(sentence(line.code)).second) << sentence(line.code);
    EXPECT_EQ(parse_errc(to_string(line.code)), line.code);
    EXPECT_EQ(http_status(line.code), line.status);
    EXPECT_GE(line.status, 400);
    EXPECT_LT(line.status, 600);
    EXPECT_FALSE(sentence(line.code).empty());
  }
  EXPECT_FALSE(parse_errc("no_such_code"));
  EXPECT_FALSE(parse_errc(""));
}

// Numbers are written to logs and stores of other versions; these may never change.
TEST(errors, the_numbers_of_known_codes_stay) {
  EXPECT_EQ(static_cast<int>(errc::malformed_http), 1);
  EXPECT_EQ(static_cast<int>(errc::token_required), 20);
  EXPECT_EQ(static_cast<int>(errc::stale_fence), 46);
  EXPECT_EQ(static_cast<int>(errc::no_agent_up), 60);
  EXPECT_EQ(static_cast<int>(errc::store_full), 82);
  EXPECT_EQ(static_cast<int>(errc::outcome_unknown), 83);
}

TEST(errors, advice_tells_retryable_from_final_and_from_doubtful) {
  EXPECT_EQ(retry_advice(errc::stale_fence), advice::never_retry);
  EXPECT_EQ(retry_advice(errc::store_full), advice::retry_later);
  EXPECT_EQ(retry_advice(errc::outcome_unknown), advice::ask_first);
}

TEST(errors, read_well_on_a_terminal) {
  auto e = make_error(errc::missing_attribute, "the event has no id");
  EXPECT_EQ(to_string(e), "missing_attribute: the event lacks a required attribute: the event has no id");
  e.index = 3;
  EXPECT_EQ(to_string(e), "missing_attribute: the event lacks a required attribute: the event has no id (item 3)");
  EXPECT_EQ(to_string(make_error(errc::not_found, "")), "not_found: there is no such path");
}

TEST(assertions, a_broken_belief_stops_the_process_and_says_where) {
  EXPECT_DEATH(SALLYPORT_ASSERT(1 + 1 == 3), "ids_test.cpp:[0-9]+: assertion failed: 1 \\+ 1 == 3");
}

TEST(results, hold_a_value_or_an_error_and_asking_for_the_other_is_a_broken_belief) {
  result<int> good{7}, bad{errc::internal, "x"};
  EXPECT_EQ(*good, 7);
  EXPECT_EQ(bad.err().code, errc::internal);
  EXPECT_DEATH((void)*bad, "assertion failed");
  EXPECT_DEATH((void)good.err(), "assertion failed");
}

// ---- time ----------------------------------------------------------------------------------------------------------------------

wall_time at_ms(std::int64_t ms) {
  return wall_time{milliseconds{ms}};
}

// Expected values computed with `date -d ... +%s`.
TEST(rfc3339, is_read_with_any_offset_and_cut_to_milliseconds) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), at_ms(0));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00Z"), at_ms(1'769'860'800'000));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00.1Z"), at_ms(1'769'860'800'100));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00.1239999999Z"), at_ms(1'769'860'800'123));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00+02:30"), at_ms(1'769'851'800'000));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00-23:59"), at_ms(1'769'860'800'000 + 86'340'000));
  EXPECT_EQ(parse_rfc3339("2026-01-31T12:00:00-00:00"), at_ms(1'769'860'800'000));
  EXPECT_EQ(parse_rfc3339("2026-01-31t12:00:00z"), at_ms(1'769'860'800'000)); // RFC 3339 section 5.6 allows both.
  EXPECT_EQ(parse_rfc3339("2024-02-29T23:59:59.999Z"), at_ms(1'709'251'199'999));
  EXPECT_EQ(parse_rfc3339("1969-12-31T23:59:59.999Z"), at_ms(-1));
}

TEST(rfc3339, refuses_everything_else_leap_seconds_included) {
  for (auto text : {"",
                    "2026",
                    "2026-01-31",
                    "2026-01-31T12:00Z",
                    "2026-01-31 12:00:00Z",
                    "2026-01-31T12:00:00",
                    "2026-01-31T12:00:00.Z",
                    "2026-01-31T12:00:00,5Z",
                    "2026-02-29T12:00:00Z",
                    "2025-02-29T00:00:00Z",
                    "2100-02-29T00:00:00Z",
                    "2026-13-01T12:00:00Z",
                    "2026-00-01T12:00:00Z",
                    "2026-01-00T12:00:00Z",
                    "2026-04-31T12:00:00Z",
                    "2026-01-31T24:00:00Z",
                    "2026-01-31T12:60:00Z",
                    "2016-12-31T23:59:60Z",
                    "2026-01-31T12:00:61Z",
                    "2026-01-31T12:00:00+24:00",
                    "2026-01-31T12:00:00+02:60",
                    "2026-01-31T12:00:00+0230",
                    "2026-01-31T12:00:00+02",
                    "2026-01-31T12:00:00ZZ",
                    " 2026-01-31T12:00:00Z",
                    "2026-01-31T12:00:00Z ",
                    "26-01-31T12:00:00Z",
                    "+2026-01-31T12:00:00Z",
                    "2026-1-31T12:00:00Z",
                    "2026-01-31T12:00:-1Z"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
}

TEST(rfc3339, is_written_with_milliseconds_in_utc_and_reads_back) {
  EXPECT_EQ(to_rfc3339(at_ms(1'769'860'800'123)), "2026-01-31T12:00:00.123Z");
  EXPECT_EQ(to_rfc3339(at_ms(0)), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(to_rfc3339(at_ms(-1)), "1969-12-31T23:59:59.999Z");
  for (std::int64_t ms = -1'000'000'000'007; ms < 4'000'000'000'000; ms += 86'399'987'654)
    EXPECT_EQ(parse_rfc3339(to_rfc3339(at_ms(ms))), at_ms(ms));
}

TEST(rfc3339, a_time_outside_four_digit_years_is_clamped_rather_than_written_wrong) {
  EXPECT_EQ(to_rfc3339(wall_time::max()), "9999-12-31T23:59:59.999Z");
  EXPECT_EQ(to_rfc3339(wall_time::min()), "0000-01-01T00:00:00.000Z");
}

} // namespace
} // namespace sallyport

#include "protocol/event.hpp"

#include <gtest/gtest.h>

namespace sallyport {
namespace {

// An event with the four required attributes and whatever else is given, e.g. R"("data":1)".
std::string event_with(std::string_view more) {
  return R"({"specversion":"1.0","id":"1","source":"/a","type":"t")" + (more.empty() ? "" : "," + std::string{more}) + "}";
}

error refusal(std::string_view text, const event_limits& limits = {}) {
  const std::string body{text};
  auto parsed = parse_event(body, limits);
  return parsed ? make_error(errc::internal, "was accepted: " + std::string{text}) : parsed.err();
}

error batch_refusal(std::string_view text, const event_limits& limits = {}) {
  const std::string body{text};
  auto parsed = parse_event_batch(body, limits);
  return parsed ? make_error(errc::internal, "was accepted: " + std::string{text}) : parsed.err();
}

bool is_accepted(std::string_view text) {
  const std::string body{text};
  return parse_event(body, {}).ok();
}

TEST(events, tell_the_attributes_the_hub_acts_on) {
  const std::string body{std::string_view{
    R"( {"specversion":"1.0","id":"o-\u0031","source":"/shops/7","type":"order.placed","subject":"Größe","time":"2026-01-31T12:00:00Z",
    "datacontenttype":"application/json","dataschema":"https://example.com/s","partitionkey":"customer \"9\"",
    "notbefore":"2026-01-31T12:00:00.5Z","expirytime":"2026-01-31T13:00:00+01:00",
    "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","weight":-12,"rush":true,"note":"x","data":{"a":[1]}} )"}};
  auto event = parse_event(body, {});
  ASSERT_TRUE(event) << to_string(event.err());
  const auto& a = event->attributes;
  EXPECT_EQ(a.id, "o-1");
  EXPECT_EQ(a.source, "/shops/7");
  EXPECT_EQ(a.type, "order.placed");
  EXPECT_EQ(a.subject, "Größe");
  EXPECT_EQ(a.partition_key, "customer \"9\"");
  EXPECT_EQ(a.trace_parent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(a.not_before, wall_time{milliseconds{1'769'860'800'500}});
  EXPECT_EQ(a.expires_at, wall_time{milliseconds{1'769'860'800'000}});
  EXPECT_EQ(event->raw, body.substr(1, body.size() - 2)); // Without the white space around it.
}

TEST(events, need_each_of_the_four_attributes_and_the_error_names_it) {
  const std::pair<const char*, const char*> cases[] = {
    {"specversion", R"({"id":"1","source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","source":"/a","type":"t"})"},
    {"source", R"({"specversion":"1.0","id":"1","type":"t"})"},
    {"type", R"({"specversion":"1.0","id":"1","source":"/a"})"},
    {"specversion", R"({"specversion":null,"id":"1","source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","id":null,"source":"/a","type":"t"})"},
    {"specversion", "{}"}};
  for (const auto& [name, text] : cases) {
    const auto e = refusal(text);
    EXPECT_EQ(e.code, errc::missing_attribute) << text;
    EXPECT_EQ(e.detail, std::string{"the event has no "} + name);
    EXPECT_FALSE(e.index);
  }
}

TEST(events, refuse_attributes_with_values_that_are_not_allowed_and_name_them) {
  const std::pair<const char*, const char*> cases[] = {
    {"specversion", R"({"specversion":"0.3","id":"1","source":"/a","type":"t"})"},
    {"specversion", R"({"specversion":1.0,"id":"1","source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","id":"","source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","id":7,"source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","id":{"a":1},"source":"/a","type":"t"})"},
    {"id", R"({"specversion":"1.0","id":"a\u0000b","source":"/a","type":"t"})"},
    {"source", R"({"specversion":"1.0","id":"1","source":"","type":"t"})"},
    {"source", R"({"specversion":"1.0","id":"1","source":[],"type":"t"})"},
    {"type", R"({"specversion":"1.0","id":"1","source":"/a","type":""})"},
    {"type", R"({"specversion":"1.0","id":"1","source":"/a","type":false})"}};
  for (const auto& [name, text] : cases) {
    const auto e = refusal(text);
    EXPECT_EQ(e.code, errc::invalid_attribute) << text;
    EXPECT_TRUE(e.detail.starts_with(std::string{name} + ": expected ")) << e.detail;
  }
  for (auto more : {R"("subject":"")",
                    R"("subject":1)",
                    R"("time":"yesterday")",
                    R"("time":"2016-12-31T23:59:60Z")",
                    R"("time":1)",
                    R"("notbefore":"2026-01-31")",
                    R"("expirytime":"")",
                    R"("partitionkey":"")",
                    R"("partitionkey":7)",
                    R"("datacontenttype":1)",
                    R"("dataschema":"")",
                    R"("Custom":"x")",
                    R"("my-ext":1)",
                    R"("my_ext":1)",
                    R"("größe":1)",
                    R"("":1)",
                    R"("ext":1.5)",
                    R"("ext":1e3)",
                    R"("ext":2147483648)",
                    R"("ext":-2147483649)",
                    R"("ext":{})",
                    R"("ext":[1])",
                    R"("ext":"a\nb")",
                    R"("ext":"\u0085")",
                    R"("ext":"\u007f")",
                    R"("data_base64":1)",
                    R"("data_base64":"abc")",
                    R"("data_base64":"ab=c")",
                    R"("data_base64":"====")",
                    R"("data_base64":"a-_b")",
                    R"("data":1,"data_base64":"AA==")"}) {
    const auto e = refusal(event_with(more));
    EXPECT_EQ(e.code, errc::invalid_attribute) << more << ": " << to_string(e);
    EXPECT_FALSE(e.detail.empty());
  }
}

TEST(events, accept_what_cloudevents_allows) {
  for (auto more :
       {R"("ext":"")", R"("ext":2147483647)", R"("ext":-2147483648)", R"("ext":false)", R"("ext":null)", R"("subject":null)",
        R"("time":null)", R"("data":null)", R"("data_base64":null,"data":1)", R"("data_base64":"")", R"("data_base64":"AA==")",
        R"("data_base64":"AAA=")", R"("data_base64":"A\/+9")", R"("data":"text")", R"("data":[])", R"("data":-0)",
        R"("time":"2026-01-31t12:00:00.123456-08:00")", R"("a20characternameeeeee":1)"})
    EXPECT_TRUE(is_accepted(event_with(more))) << more << ": " << to_string(refusal(event_with(more)));
}

TEST(events, keep_their_strings_within_bounds) {
  const auto with_id = [](std::size_t n) {
    return R"({"specversion":"1.0","source":"/a","type":"t","id":")" + std::string(n, 'x') + "\"}";
  };
  EXPECT_TRUE(is_accepted(with_id(1024)));
  EXPECT_EQ(refusal(with_id(1025)).code, errc::invalid_attribute);
  EXPECT_EQ(refusal(with_id(1025)).detail, "id: expected at most 1024 bytes, found 1025");
  EXPECT_TRUE(is_accepted(event_with("\"partitionkey\":\"" + std::string(512, 'x') + '"')));
  EXPECT_EQ(refusal(event_with("\"partitionkey\":\"" + std::string(513, 'x') + '"')).code, errc::invalid_attribute);
}

TEST(events, refuse_a_traceparent_that_is_not_w3c) {
  const auto with = [](std::string_view value) { return event_with("\"traceparent\":\"" + std::string{value} + '"'); };
  EXPECT_TRUE(is_accepted(with("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")));
  EXPECT_TRUE(is_accepted(with("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-holds")));
  for (auto bad :
       {"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    EXPECT_EQ(refusal(with(bad)).code, errc::invalid_attribute) << bad;
}

// Each of these got past, or was wrongly refused by, one of simdjson 3.0.1's two readers.
TEST(events, are_checked_where_a_skipping_reader_looks_away) {
  EXPECT_EQ(refusal(event_with(R"("data":tru)")).code, errc::malformed_json); // raw_json() let it pass.
  for (auto data :
       {"{\"a\":tru}", "[01]", "{\"a\":1,}", "\"\\x\"", "\"\\ud800\"", "{\"a\" 1}", "[1e]", "[1.]", "nul", "{\"a\":\"\t\"}", ""})
    EXPECT_EQ(refusal(event_with("\"data\":" + std::string{data})).code, errc::malformed_json) << data;
}

TEST(events, carry_numbers_of_any_range_byte_for_byte) {
  for (auto data :
       {"12345678901234567890123456789012345678", "1e999", "-1e-999", "[0.1234567890123456789012345678901234567890]"}) {
    const std::string body{event_with("\"data\":" + std::string{data})}; // The DOM refuses them.
    auto event = parse_event(body, {});
    ASSERT_TRUE(event) << to_string(event.err());
    EXPECT_EQ(event->raw, body);
    EXPECT_EQ(raw_data(event->raw), data);
  }
}

TEST(events, refuse_a_key_that_comes_twice_at_the_top_but_do_not_judge_the_data) {
  for (auto more :
       {R"("id":"2")", R"("\u0069d":"2")", R"("data":1,"data":2)", R"("ext":1,"ext":1)", R"("subject":null,"subject":"x")"})
    EXPECT_EQ(refusal(event_with(more)).code, errc::duplicate_key) << more;
  EXPECT_NE(refusal(event_with(R"("id":"2")")).detail.find("\"id\" comes twice"), std::string::npos);
  EXPECT_TRUE(is_accepted(event_with(R"("data":{"a":1,"a":2})")));
}

TEST(events, refuse_bodies_that_are_no_json_and_say_at_which_byte) {
  EXPECT_EQ(refusal(""), make_error(errc::malformed_json, "at byte 0: the body is empty"));
  EXPECT_EQ(refusal(" \n").code, errc::malformed_json);
  EXPECT_EQ(refusal("\xef\xbb\xbf" + event_with("")),
            make_error(errc::malformed_json, "at byte 0: a byte order mark is not JSON"));
  EXPECT_EQ(refusal(event_with("") + "x"),
            make_error(errc::malformed_json, "at byte 55: something follows the end of the document"));
  EXPECT_EQ(refusal(event_with("") + event_with("")).code, errc::malformed_json);
  EXPECT_EQ(refusal(std::string_view{"\0", 1}).code, errc::malformed_json);
  EXPECT_EQ(refusal(event_with("") + std::string(1, '\0')).code, errc::malformed_json);
  const auto whole = event_with(R"("data":{"a":[1,"x\n",null]})");
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_EQ(refusal(std::string_view{whole}.substr(0, n)).code, errc::malformed_json) << n;
}

TEST(events, refuse_invalid_utf8_anywhere) {
  EXPECT_EQ(refusal(event_with("\"data\":{\"a\":\"\xff\"}")).code, errc::invalid_utf8);
  EXPECT_EQ(refusal(event_with("\"data\":{\"\xc3\":1}")).code, errc::invalid_utf8);
  EXPECT_EQ(refusal(event_with("\"ext\":\"\xed\xa0\x80\"")).code, errc::invalid_utf8);
  EXPECT_EQ(refusal(event_with("") + "\xff").code, errc::invalid_utf8);
  EXPECT_EQ(refusal(event_with("\"ext\":\"\xff\"")), make_error(errc::invalid_utf8, "at byte 62: not UTF-8"));
}

TEST(events, that_are_other_json_get_a_hint) {
  EXPECT_EQ(refusal("[]").code, errc::invalid_request);
  EXPECT_NE(refusal("[]").detail.find("application/cloudevents-batch+json"), std::string::npos);
  EXPECT_EQ(refusal("1").code, errc::invalid_request);
  EXPECT_EQ(refusal("null").detail, "expected an event object, found null");
}

TEST(events, are_bounded_in_bytes_and_depth) {
  const auto event = event_with(R"("data":"0123456789")");
  EXPECT_NE(refusal(event, {.event_bytes = event.size()}).code, errc::event_too_large);
  EXPECT_EQ(refusal(event, {.event_bytes = event.size() - 1}).code, errc::event_too_large);
  EXPECT_NE(refusal("  " + event + "  ", {.event_bytes = event.size()}).code,
            errc::event_too_large); // White space around it is not it.
  const auto nested = [](std::size_t n) { return event_with("\"data\":" + std::string(n, '[') + std::string(n, ']')); };
  EXPECT_TRUE(is_accepted(nested(63))); // The event itself is the first of 64 levels.
  EXPECT_EQ(refusal(nested(64)).code, errc::invalid_attribute);
  std::string many;
  for (int i = 0; i < 61; ++i)
    many.append(i ? ",\"x" : "\"x").append(std::to_string(i)).append("\":1");
  EXPECT_EQ(refusal(event_with(many)).code, errc::invalid_attribute);
}

TEST(event_batches, hold_events_in_order_with_their_exact_bytes) {
  const auto first = event_with(R"("data": { "n" : 1e999 } )"), second = event_with(R"("ext":"\u00e9")");
  const std::string body{"[ " + first + " ,\n" + second + "\t]"};
  auto events = parse_event_batch(body, {});
  ASSERT_TRUE(events) << to_string(events.err());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0].raw, first);
  EXPECT_EQ((*events)[1].raw, second);
  const std::string empty{std::string_view{"[]"}};
  ASSERT_TRUE(parse_event_batch(empty, {}));
  EXPECT_TRUE(parse_event_batch(empty, {})->empty());
}

TEST(event_batches, with_one_bad_event_name_its_index) {
  const auto good = event_with("");
  const std::pair<errc, std::string> cases[] = {
    {errc::missing_attribute, "{}"},
    {errc::invalid_attribute, event_with(R"("ext":{})")},
    {errc::duplicate_key, event_with(R"("id":"2")")},
    {errc::malformed_json, event_with(R"("data":tru)")},
    {errc::malformed_json, ""},
    {errc::invalid_utf8, event_with("\"ext\":\"\xff\"")},
    {errc::invalid_request, "7"},
    {errc::invalid_attribute, event_with("\"data\":" + std::string(64, '[') + std::string(64, ']'))}};
  for (const auto& [code, bad] : cases) {
    const auto e = batch_refusal("[" + good + "," + good + "," + bad + "," + good + "]");
    EXPECT_EQ(e.code, code) << to_string(e);
    EXPECT_EQ(e.index, 2u) << to_string(e);
    EXPECT_FALSE(e.detail.empty());
  }
  const auto large = batch_refusal("[" + good + "," + event_with(R"("data":"xxxxxxxx")") + "]", {.event_bytes = good.size()});
  EXPECT_EQ(large.code, errc::event_too_large);
  EXPECT_EQ(large.index, 1u);
}

TEST(event_batches, are_bounded_in_number) {
  const auto good = event_with("");
  const std::string three{"[" + good + "," + good + "," + good + "]"};
  EXPECT_TRUE(parse_event_batch(three, {.events = 3}));
  ASSERT_FALSE(parse_event_batch(three, {.events = 2}));
  EXPECT_EQ(parse_event_batch(three, {.events = 2}).err().code, errc::too_many_events);
}

TEST(event_batches, that_are_no_array_are_refused) {
  EXPECT_EQ(batch_refusal(event_with("")).code, errc::invalid_request);
  EXPECT_EQ(batch_refusal("").code, errc::malformed_json);
  EXPECT_EQ(batch_refusal("[").code, errc::malformed_json);
  EXPECT_EQ(batch_refusal("[]]").code, errc::malformed_json);
  EXPECT_EQ(batch_refusal("[" + event_with("") + "]x").code, errc::malformed_json);
  EXPECT_EQ(batch_refusal("[" + event_with("") + " " + event_with("") + "]").code, errc::malformed_json);
  EXPECT_EQ(batch_refusal("[]\xff").code, errc::invalid_utf8);
}

TEST(raw_data, is_found_wherever_it_stands) {
  EXPECT_EQ(raw_data(event_with(R"("data": [1, 2] ,"ext":1)")), "[1, 2]");
  EXPECT_EQ(raw_data(event_with(R"("d\u0061ta":"x")")), "\"x\"");
  EXPECT_EQ(raw_data(event_with(R"("data":null)")), "null");
  EXPECT_EQ(raw_data(event_with(R"("ext":{"data":1})")), std::nullopt);
  EXPECT_EQ(raw_data(event_with("")), std::nullopt);
}

} // namespace
} // namespace sallyport

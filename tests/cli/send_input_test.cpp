#include "cli/send_input.hpp"

#include "protocol/event.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <unistd.h>

using namespace sallyport;
using namespace sallyport::cli;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace {

// A pipe whose writing end the test holds.
class pipe_pair {
public:
  pipe_pair() { EXPECT_EQ(::pipe2(ends_, O_CLOEXEC), 0); }
  ~pipe_pair() {
    ::close(ends_[0]);
    finish();
  }
  [[nodiscard]] int reading() const { return ends_[0]; }
  void write(std::string_view text) { EXPECT_EQ(::write(ends_[1], text.data(), text.size()), static_cast<ssize_t>(text.size())); }
  void finish() {
    if (ends_[1] >= 0)
      ::close(ends_[1]);
    ends_[1] = -1;
  }

private:
  int ends_[2];
};

std::vector<std::string> read_all(std::string_view text, const std::string& items = {}) {
  pipe_pair pipe;
  pipe.write(text);
  pipe.finish();
  input_reader reader(pipe.reading(), items);
  std::vector<std::string> out;
  input_record record;
  while (true) {
    const auto state = reader.next(record, 1000);
    if (!state) {
      out.push_back("fault: " + state.err().detail);
      return out;
    }
    if (*state != input_reader::state::record)
      return out;
    out.push_back(std::to_string(record.place) + " " + record.json);
  }
}

event_attributes attributes(const std::string& event) {
  auto parsed = parse_event(event, {});
  EXPECT_TRUE(parsed) << event;
  return parsed ? parsed->attributes : event_attributes{};
}

const wrap_rules plain{.source = "test"};

} // namespace

TEST(input_reader, gives_lines_with_their_numbers_and_leaves_blank_ones_out) {
  EXPECT_THAT(read_all("{\"a\":1}\n\n  {\"b\":2}\r\n[3]"), ElementsAre("1 {\"a\":1}", "3 {\"b\":2}", "4 [3]"));
  EXPECT_THAT(read_all(""), ElementsAre());
  EXPECT_THAT(read_all("\n\n"), ElementsAre());
}

TEST(input_reader, takes_an_array_apart) {
  EXPECT_THAT(read_all(" [ {\"a\":1},\n {\"b\":[2]} ]\n"), ElementsAre("1 {\"a\":1}", "2 {\"b\":[2]}"));
  EXPECT_THAT(read_all("[]"), ElementsAre());
}

TEST(input_reader, finds_an_array_inside_a_document) {
  EXPECT_THAT(read_all("{\"x\": 1, \"639-3\": [{\"a\":1}, {\"a\":2}]}", "639-3"), ElementsAre("1 {\"a\":1}", "2 {\"a\":2}"));
  EXPECT_THAT(read_all("{\"x\": {\"y\": [7]}}", "x.y"), ElementsAre("1 7"));
  EXPECT_THAT(read_all("{\"x\": 1}", "x"), ElementsAre(HasSubstr("no array at \"x\"")));
}

TEST(input_reader, says_where_an_array_breaks_off) {
  EXPECT_THAT(read_all("[{\"a\":1}, {\"b\""), ElementsAre(HasSubstr("fault: ")));
  EXPECT_THAT(read_all("[1, 2"), ElementsAre(HasSubstr("fault: ")));
  EXPECT_THAT(read_all("[1] [2]"), ElementsAre(HasSubstr("fault: ")));
}

TEST(input_reader, pauses_while_a_pipe_is_slow_and_then_goes_on) {
  pipe_pair pipe;
  input_reader reader(pipe.reading(), {});
  input_record record;
  pipe.write("{\"a\":1}\n{\"b\"");
  ASSERT_EQ(*reader.next(record, 1000), input_reader::state::record);
  EXPECT_EQ(record.json, "{\"a\":1}");
  ASSERT_EQ(*reader.next(record, 0), input_reader::state::pause);
  pipe.write(":2}\n");
  ASSERT_EQ(*reader.next(record, 1000), input_reader::state::record);
  EXPECT_EQ(record.json, "{\"b\":2}");
  pipe.finish();
  EXPECT_EQ(*reader.next(record, 1000), input_reader::state::end);
}

TEST(input_reader, reads_lines_longer_than_its_buffer) {
  const std::string line = "\"" + std::string(60'000, 'x') + "\"";
  EXPECT_THAT(read_all(line + "\n1\n"), ElementsAre("1 " + line, "2 1"));
}

TEST(wrapping, gives_a_record_the_same_id_whenever_it_is_read) {
  const auto once = to_event("{\"a\":1}", 7, plain), again = to_event("{\"a\":1}", 7, plain);
  ASSERT_TRUE(once && again);
  EXPECT_EQ(*once, *again);
  EXPECT_EQ(attributes(*once).source, "test");
  EXPECT_EQ(attributes(*once).type, "sallyport.record");
  EXPECT_THAT(attributes(*once).id, HasSubstr("7-"));
  EXPECT_NE(attributes(*once).id, attributes(*to_event("{\"a\":1}", 8, plain)).id);
  EXPECT_NE(attributes(*once).id, attributes(*to_event("{\"a\":2}", 7, plain)).id);
}

TEST(wrapping, takes_id_and_key_from_the_record) {
  const auto event = to_event("{\"order\":{\"number\":12},\"customer\":\"c\\u0031\"}", 1,
                              {.source = "s", .type = "t", .id_from = "order.number", .key_from = "customer"});
  ASSERT_TRUE(event) << to_string(event.err());
  EXPECT_EQ(attributes(*event).id, "12");
  EXPECT_EQ(attributes(*event).partition_key, "c1");
  EXPECT_EQ(*raw_data(*event), "{\"order\":{\"number\":12},\"customer\":\"c\\u0031\"}");
}

TEST(wrapping, says_which_field_is_missing) {
  EXPECT_THAT(to_event("{\"a\":1}", 1, {.source = "s", .id_from = "b"}).err().detail, HasSubstr("no \"b\""));
  EXPECT_THAT(to_event("{\"a\":{}}", 1, {.source = "s", .id_from = "a"}).err().detail, HasSubstr("neither text nor a number"));
}

TEST(wrapping, leaves_an_event_as_it_is) {
  const std::string event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\", \"data\":1e999}";
  EXPECT_EQ(*to_event("  " + event + " ", 1, plain), event);
}

TEST(wrapping, refuses_an_event_that_is_not_one) {
  const auto event = to_event("{\"specversion\":\"1.0\",\"id\":\"1\"}", 1, plain);
  ASSERT_FALSE(event);
  EXPECT_EQ(event.err().code, errc::missing_attribute);
}

TEST(wrapping, refuses_what_is_not_json_and_names_the_byte_of_the_record) {
  const auto broken = to_event("{\"a\":tru}", 1, plain);
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.err().code, errc::malformed_json);
  EXPECT_THAT(broken.err().detail, HasSubstr("at byte 8"));
  EXPECT_FALSE(to_event("", 1, plain));
  EXPECT_FALSE(to_event("{\"a\":1", 1, plain));
}

TEST(wrapping, lets_no_record_smuggle_attributes_in) {
  EXPECT_FALSE(to_event("1,\"subject\":\"x\"", 1, plain));
  EXPECT_FALSE(to_event("1},{\"a\":1", 1, plain));
}

TEST(wrapping, takes_any_json_value_and_numbers_of_any_size) {
  for (const auto* value : {"1", "\"x\"", "null", "[1,2]", "123456789012345678901234567890"}) {
    const auto event = to_event(value, 1, plain);
    ASSERT_TRUE(event) << value;
    EXPECT_EQ(*raw_data(*event), value);
  }
}

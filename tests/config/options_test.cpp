#include "config/options.hpp"

#include <gmock/gmock.h>

using namespace sallyport;
using namespace sallyport::config;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

enum class colour { red, green };

struct inner {
  std::uint32_t size = 4;
  std::map<std::string, std::string> aliases;
};
struct outer {
  milliseconds ttl = 10s;
  bool open = false;
  std::string label;
  std::vector<std::string> hosts;
  colour paint = colour::green;
  group_name group;
  inner part;
  std::map<std::string, inner> parts;
};

const options_of<inner>& part_options() {
  static const options_of<inner> table("top.part.*",
                                       {
                                         section<inner>("top.part.*", "One part."),
                                         option(&inner::size, "top.part.*.size", "Its size.", {.required = true, .example = "3"}),
                                       });
  return table;
}

const options_of<outer>& table() {
  using s = outer;
  static const options_of<outer> table(
    "", {
          section<s>("top", "The top."),
          option(&s::group, "top.group", "Whose.", {.required = true, .example = "\"g\""}),
          option(&s::ttl, "top.ttl_ms", "How long | or not.", {.min = 1s, .max = 10min}),
          option(&s::open, "top.open", "Whether."),
          option(&s::label, "top.label", "What.",
                 {.check = [](const std::string& v) { return std::string(v == "bad" ? "is bad" : ""); }}),
          option(&s::hosts, "top.hosts", "Where."),
          option(&s::paint, "top.paint", "Which.", {.words = {{"red", colour::red}, {"green", colour::green}}}),
          section<s>("top.deep", "Deeper."),
          option(of(&s::part, &inner::size), "top.deep.size_bytes", "How much.", {.max = 100}),
          option(of(&s::part, &inner::aliases), "top.deep.aliases", "Also known as."),
          tables<s, inner>([](s& in, const std::string& name) -> inner& { return in.parts[name]; }, part_options()),
        });
  return table;
}

struct reading {
  outer settings;
  std::vector<std::string> faults;
};

reading read(std::string_view text) {
  reading out;
  fault_list faults("f.toml");
  if (const auto root = parse_toml(text, faults))
    table().read(out.settings, *root, faults);
  for (const auto& f : faults.sorted())
    out.faults.push_back(to_string(f));
  return out;
}

} // namespace

TEST(options, every_type_is_read_into_its_place) {
  const auto r =
    read("[top]\ngroup = \"g1\"\nttl_ms = 2000\nopen = true\nlabel = \"x\"\nhosts = [\"a\", \"b\"]\npaint = \"red\"\n"
         "[top.deep]\nsize_bytes = 7\naliases = { \"a.b\" = \"c\" }\n[top.part.left]\nsize = 1\n[top.part.right]\nsize = 2\n");
  EXPECT_THAT(r.faults, ElementsAre());
  EXPECT_EQ(r.settings.group.value, "g1");
  EXPECT_EQ(r.settings.ttl, 2s);
  EXPECT_TRUE(r.settings.open);
  EXPECT_EQ(r.settings.label, "x");
  EXPECT_THAT(r.settings.hosts, ElementsAre("a", "b"));
  EXPECT_EQ(r.settings.paint, colour::red);
  EXPECT_EQ(r.settings.part.size, 7u);
  EXPECT_EQ(r.settings.part.aliases.at("a.b"), "c");
  EXPECT_EQ(r.settings.parts.at("left").size, 1u);
  EXPECT_EQ(r.settings.parts.at("right").size, 2u);
}

TEST(options, what_is_left_out_keeps_its_default) {
  const auto r = read("[top]\ngroup = \"g\"\n");
  EXPECT_THAT(r.faults, ElementsAre());
  EXPECT_EQ(r.settings.ttl, 10s);
  EXPECT_EQ(r.settings.paint, colour::green);
}

TEST(options, all_faults_come_at_once_with_their_lines) {
  const auto r =
    read("[top]\nttl_ms = \"10s\"\nopen = 1\nlabel = \"bad\"\nhosts = [1]\npaint = \"blue\"\n[top.deep]\nsize_bytes = 101\n"
         "[top.part.left]\n");
  EXPECT_THAT(
    r.faults,
    ElementsAre("f.toml:1: top.group: is missing; write group = \"g\"",
                "f.toml:2: top.ttl_ms: must be a whole number of milliseconds, and is text; write 10000 for ten seconds",
                "f.toml:3: top.open: must be true or false, and is a whole number", "f.toml:4: top.label: is bad",
                "f.toml:5: top.hosts: must be text, and is a whole number",
                "f.toml:6: top.paint: \"blue\" is not one of its values; write one of: red, green",
                "f.toml:8: top.deep.size_bytes: 101 is out of range; write 0 to 100",
                "f.toml:9: top.part.left.size: is missing; write size = 3"));
}

TEST(options, an_unknown_key_gets_the_nearest_known_one) {
  EXPECT_THAT(read("[top]\ngroup = \"g\"\nlable = \"x\"\n").faults,
              ElementsAre("f.toml:3: top.lable: there is no such setting; did you mean label?"));
  EXPECT_THAT(read("[top]\ngroup = \"g\"\nttl = 5\n").faults,
              ElementsAre("f.toml:3: top.ttl: there is no such setting; did you mean ttl_ms?"));
  EXPECT_THAT(read("[top]\ngroup = \"g\"\n[top.deap]\nsize_bytes = 1\n").faults,
              ElementsAre("f.toml:3: top.deap: there is no such table; did you mean deep?"));
}

TEST(options, a_key_of_another_table_is_sent_there) {
  EXPECT_THAT(read("[top]\ngroup = \"g\"\nsize_bytes = 5\n").faults,
              ElementsAre("f.toml:3: top.size_bytes: there is no such setting; it belongs in [top.deep]"));
}

TEST(options, a_key_like_nothing_known_gets_the_reference) {
  ASSERT_EQ(read("[top]\ngroup = \"g\"\nzzzzzzzz = 5\n").faults.size(), 1u);
  EXPECT_THAT(read("[top]\ngroup = \"g\"\nzzzzzzzz = 5\n").faults[0], HasSubstr("config reference"));
}

TEST(options, a_value_where_a_table_belongs_is_a_fault) {
  EXPECT_THAT(read("[top]\ngroup = \"g\"\ndeep = 5\n").faults,
              ElementsAre("f.toml:3: top.deep: must be a table; write [top.deep]"));
}

TEST(options, a_name_with_dots_in_a_table_of_texts_needs_quotes_and_is_told_so) {
  const auto r = read("[top]\ngroup = \"g\"\n[top.deep.aliases]\na.b = \"c\"\n");
  ASSERT_EQ(r.faults.size(), 1u);
  EXPECT_THAT(r.faults[0], HasSubstr("quotes"));
}

TEST(options, a_syntax_error_comes_alone_with_line_and_column) {
  const auto r = read("[top]\ngroup = \nunknown = 1\n");
  ASSERT_EQ(r.faults.size(), 1u);
  EXPECT_THAT(r.faults[0], HasSubstr("f.toml:2: column 9: not valid TOML"));
}

TEST(options, the_same_key_twice_is_a_fault) {
  EXPECT_EQ(read("[top]\ngroup = \"g\"\ngroup = \"h\"\n").faults.size(), 1u);
}

TEST(options, numbers_that_do_not_fit_are_refused) {
  EXPECT_THAT(read("[top]\ngroup = \"g\"\nttl_ms = -1\n").faults,
              ElementsAre("f.toml:3: top.ttl_ms: -1 is out of range; write 1000 to 600000"));
  EXPECT_EQ(read("[top]\ngroup = \"g\"\nttl_ms = 1.5\n").faults.size(), 1u);
}

TEST(options, the_reference_shows_types_ranges_and_defaults) {
  const auto text = reference_of(table().list());
  EXPECT_THAT(text, HasSubstr("### `[top]`"));
  EXPECT_THAT(text, HasSubstr("| `group` | name | **required** | Whose. |"));
  EXPECT_THAT(text, HasSubstr("| `ttl_ms` | whole number: 1000 to 600000 | `10000` | How long \\| or not. |"));
  EXPECT_THAT(text, HasSubstr("| `paint` | word: red, green | `\"green\"` | Which. |"));
  EXPECT_THAT(text, HasSubstr("### `[top.part.NAME]`"));
}

TEST(options, the_example_can_be_read_back) {
  const auto r = read(example_of(table().list()));
  EXPECT_THAT(r.faults, ElementsAre());
  EXPECT_EQ(r.settings.group.value, "g");
  EXPECT_EQ(r.settings.parts.at("example").size, 3u);
}

TEST(nearest_word, forgives_small_slips_only) {
  EXPECT_EQ(nearest("lanse", {"lanes", "window"}), "lanes");
  EXPECT_EQ(nearest("session_ttl", {"session_ttl_ms", "sessions"}), "session_ttl_ms");
  EXPECT_EQ(nearest("xyz", {"lanes", "window"}), "");
}

TEST(addresses, of_hubs_are_https_or_on_this_machine) {
  EXPECT_EQ(check_hub_url("https://hub.example:8443"), "");
  EXPECT_EQ(check_hub_url("https://hub.example/"), "");
  EXPECT_EQ(check_hub_url("https://[::1]:8443"), "");
  EXPECT_EQ(check_hub_url("http://127.0.0.1:8080"), "");
  EXPECT_EQ(check_hub_url("http://localhost:8080"), "");
  EXPECT_THAT(check_hub_url("http://hub.example:8080"), HasSubstr("in clear"));
  EXPECT_THAT(check_hub_url("http://127.0.0.1.evil.example"), HasSubstr("in clear"));
  EXPECT_NE(check_hub_url("hub.example:8443"), "");
  EXPECT_NE(check_hub_url("https://"), "");
  EXPECT_NE(check_hub_url("https://hub:99999"), "");
  EXPECT_NE(check_hub_url("https://user:pass@hub"), "");
  EXPECT_THAT(check_hub_url("https://user:pass@hub"), Not(HasSubstr("pass@")));
  EXPECT_EQ(check_hub_url("https://hub/path"), "");
}

// The shape of the tree as tests: dependencies point one way, and a core knows no effects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// ---- the link graph ------------------------------------------------------------------------------------------------------------

/// A library may link what stands in a line above its own. (sallyport_asio is a library of others, compiled by us.)
const std::vector<std::set<std::string>> layers = {
  {"asio"},
  {"protocol"},
  {"config", "cloud_core", "cloud_store", "runtime_core", "adapters_api"},
  {"runtime_io", "adapters_sql", "adapters_file", "adapters_http", "adapters_null", "cloud_hub"},
  {"actors"},
  {"runtime"},
  {"testing"},
  {"cli"},
};

/// Neighbours in a line that may link each other in this direction.
const std::set<std::pair<std::string, std::string>> neighbours = {
  {"runtime_core", "config"},      // An agent's settings are plain values.
  {"adapters_http", "runtime_io"}, // One HTTP client for hubs and local services.
};

/// Libraries that decide. What acts may not be linked into them, wherever it stands.
const std::set<std::string> cores = {"cloud_core", "runtime_core"};
const std::set<std::string> effects = {"asio", "CAF::core", "SOCI::core", "LMDB::lmdb", "Threads::Threads", "spdlog::spdlog"};

std::string short_name(std::string target) {
  const std::string_view prefix = "sallyport_";
  return target.starts_with(prefix) ? target.substr(prefix.size()) : target;
}

std::optional<std::size_t> layer_of(const std::string& library) {
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (layers[i].contains(library))
      return i;
  return std::nullopt;
}

/// Lines "library" and "from to"; the answer names every edge that points the wrong way.
std::vector<std::string> wrong_edges(std::istream& graph) {
  std::vector<std::string> wrong;
  for (std::string line; std::getline(graph, line);) {
    std::istringstream words{line};
    std::string from, to;
    words >> from >> to;
    from = short_name(from);
    to = short_name(to);
    const auto from_layer = layer_of(from);
    if (!from_layer) {
      wrong.push_back(from + " has no place in the order");
      continue;
    }
    if (cores.contains(from) && effects.contains(to))
      wrong.push_back(from + " -> " + to + ": a core has no effects");
    if (to.ends_with("_probed"))
      wrong.push_back(from + " -> " + to + ": planted mistakes are for tests alone");
    const auto to_layer = layer_of(to);
    if (to_layer && *to_layer >= *from_layer && !neighbours.contains({from, to}))
      wrong.push_back(from + " -> " + to);
  }
  return wrong;
}

TEST(link_graph, every_edge_points_towards_protocol) {
  std::ifstream graph{LINK_GRAPH};
  ASSERT_TRUE(graph) << LINK_GRAPH;
  EXPECT_THAT(wrong_edges(graph), IsEmpty());
}

TEST(link_graph, every_library_of_the_order_exists) {
  std::ifstream graph{LINK_GRAPH};
  std::set<std::string> seen;
  for (std::string line; std::getline(graph, line);)
    seen.insert(short_name(line.substr(0, line.find(' '))));
  for (const auto& layer : layers)
    for (const auto& library : layer)
      EXPECT_TRUE(seen.contains(library)) << library << " is in the order, but no target of that name is built";
}

TEST(link_graph, a_wrong_edge_an_unknown_library_and_an_effect_in_a_core_are_found) {
  std::istringstream graph{"sallyport_cli sallyport_runtime\n"
                           "sallyport_protocol sallyport_config\n"
                           "sallyport_adapters_sql sallyport_adapters_file\n"
                           "sallyport_misc sallyport_protocol\n"
                           "sallyport_cloud_core CAF::core\n"
                           "sallyport_cloud_hub sallyport_cloud_core_probed\n"};
  EXPECT_THAT(wrong_edges(graph), ElementsAre("protocol -> config", "adapters_sql -> adapters_file",
                                              "misc has no place in the order", "cloud_core -> CAF::core: a core has no effects",
                                              "cloud_hub -> cloud_core_probed: planted mistakes are for tests alone"));
}

// ---- the cores -----------------------------------------------------------------------------------------------------------------

/// Headers that bring effects, or the means to have them.
const std::regex effect_header{
  R"(#\s*include\s*[<"]((caf|boost/asio|boost/beast|boost/process|boost/random|soci|spdlog|openssl|sys)/[^>"]*|lmdb\.h|unistd\.h|pthread\.h|ctime|time\.h|random|thread|mutex|shared_mutex|condition_variable|future|semaphore|latch|barrier|stop_token|fstream|iostream|filesystem|cstdio)[>"])"};

/// Names that are effects, whichever header they came by.
const std::regex effect_name{
  R"((::|\.|->)now\s*\(\s*\)|\b(clock_gettime|gettimeofday|time\s*\(\s*(NULL|nullptr|0)\s*\)|rand|srand|random_device|mt19937(_64)?|getrandom|RAND_bytes|this_thread|jthread|std::thread|sleep_for|usleep|getenv|asio|beast|caf)\b)"};

/// The text without comments and the insides of string literals, whose words mean nothing to a compiler. Keeps the lines.
std::string code_of(const std::string& text) {
  std::string code;
  for (std::size_t i = 0; i < text.size();) {
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const auto end = std::min(text.find("*/", i + 2), text.size());
      code.append(static_cast<std::size_t>(std::count(text.begin() + i, text.begin() + end, '\n')), '\n');
      i = std::min(end + 2, text.size());
    } else if (text.compare(i, 3, "'\"'") == 0) {
      i += 3;
    } else if (text[i] == '"') {
      auto end = i + 1;
      while (end < text.size() && text[end] != '"')
        end += text[end] == '\\' ? 2 : 1;
      const auto line_begin = code.find_last_of('\n') + 1; // npos + 1 is 0: the first line.
      if (code.compare(line_begin, 8, "#include") == 0)
        code.append(text, i, end + 1 - i);
      i = end + 1;
    } else {
      code += text[i++];
    }
  }
  return code;
}

std::vector<std::string> effects_in(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines{code_of(text)};
  unsigned number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::smatch match;
    if (std::regex_search(line, match, line.starts_with("#include") ? effect_header : effect_name))
      found.push_back(std::to_string(number) + ": " + match.str());
  }
  return found;
}

std::string read_file(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

bool is_source(const fs::path& path) {
  return path.extension() == ".hpp" || path.extension() == ".cpp";
}

/// Every source of every core/ folder of the product.
std::vector<fs::path> core_sources() {
  std::vector<fs::path> sources;
  for (const auto* top : {"protocol", "cloud", "runtime", "adapters", "actors", "config", "cli"})
    for (const auto& entry : fs::recursive_directory_iterator{fs::path{SOURCE_ROOT} / top})
      if (is_source(entry.path()) && entry.path().parent_path().filename() == "core")
        sources.push_back(entry.path());
  return sources;
}

/// Our own headers that a file includes, directly or through others.
std::set<fs::path> own_headers(const std::vector<fs::path>& roots) {
  static const std::regex own{R"re(#\s*include\s*"([^"]+)")re"};
  std::set<fs::path> reached;
  std::vector<fs::path> open = roots;
  while (!open.empty()) {
    const std::string text = read_file(open.back());
    open.pop_back();
    for (std::sregex_iterator it{text.begin(), text.end(), own}, end; it != end; ++it) {
      const fs::path header = fs::path{SOURCE_ROOT} / (*it)[1].str();
      if (fs::exists(header) && reached.insert(header).second)
        open.push_back(header);
    }
  }
  return reached;
}

TEST(cores, name_no_clock_no_socket_no_thread_and_no_random_source) {
  const auto sources = core_sources();
  ASSERT_GE(sources.size(), 10u) << "the cores have moved, and this test with them";
  for (const auto& path : sources)
    for (const auto& effect : effects_in(read_file(path)))
      ADD_FAILURE() << fs::relative(path, SOURCE_ROOT).string() << ':' << effect << " has no place in a core";
}

TEST(cores, include_only_headers_of_ours_that_are_as_pure) {
  for (const auto& path : own_headers(core_sources())) {
    const std::string folder = fs::relative(path, SOURCE_ROOT).parent_path().string();
    // The ports and values that cores speak through. cancel_signal of the adapter contract is the one thing in them with a mutex.
    EXPECT_THAT(folder, testing::MatchesRegex("protocol|config|cloud/store|adapters/(api|[a-z]+)|.*/core")) << path;
    std::istringstream lines{code_of(read_file(path))};
    for (std::string line; std::getline(lines, line);)
      EXPECT_FALSE(std::regex_search(line, effect_header)) << fs::relative(path, SOURCE_ROOT) << ": " << line;
  }
}

TEST(cores, an_effect_is_found_and_talk_of_one_is_not) {
  EXPECT_THAT(effects_in("#include <thread>\n"), ElementsAre(HasSubstr("thread")));
  EXPECT_THAT(effects_in("#include <caf/all.hpp>\n"), ElementsAre(HasSubstr("caf/all.hpp")));
  EXPECT_THAT(effects_in("#include <boost/asio/ip/tcp.hpp>"), ElementsAre(HasSubstr("boost/asio")));
  EXPECT_THAT(effects_in("\nauto t = std::chrono::steady_clock::now();"), ElementsAre("2: ::now()"));
  EXPECT_THAT(effects_in("x = std::random_device{}();"), ElementsAre("1: random_device"));
  EXPECT_THAT(effects_in("// std::chrono::steady_clock::now() is for hosts\n/* rand\n rand */ int brand = 1;"), IsEmpty());
  EXPECT_THAT(effects_in("auto s = \"caf and beast\";\n#include \"protocol/time.hpp\"\n"), IsEmpty());
}

} // namespace

// The quickstart as a newcomer runs it: real processes, real input, real deaths.
#include "examples/quickstart/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <thread>

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using quickstart::process;
using testing::HasSubstr;
using testing::IsEmpty;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class quickstart_run : public testing::Test {
protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "quickstart-test.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    fs::create_directory(folder_ / "tmp");
    ::setenv("TMPDIR", (folder_ / "tmp").c_str(), 1); // The quickstart's folders are below it, so we know its processes by it.
  }
  void TearDown() override {
    ::unsetenv("TMPDIR");
    for (auto left = processes_left(); !left.empty(); left = processes_left(), std::this_thread::sleep_for(10ms))
      for (const auto& [pid, command] : left)
        ::kill(pid, SIGKILL);
    fs::remove_all(folder_);
  }

  process start(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), QUICKSTART);
    return process(arguments, output_file());
  }
  int run(std::vector<std::string> arguments) {
    const auto code = start(std::move(arguments)).wait(200s);
    return code.value_or(-1);
  }

  [[nodiscard]] std::string output_file() const { return folder_ / "output"; }
  [[nodiscard]] std::string output() const { return read_file(output_file()); }
  [[nodiscard]] std::string last_line() const {
    auto text = output();
    if (text.ends_with('\n'))
      text.pop_back();
    return text.substr(text.find_last_of('\n') + 1);
  }
  /// The numbers of the last line; empty when it has not the form that was promised.
  [[nodiscard]] std::map<std::string, unsigned> score() const {
    static const std::regex promised(
      "quickstart: sent=\\d+ delivered=\\d+ lost=\\d+ duplicated=\\d+ agents=\\d+ agent_kills=\\d+ hub_kills=\\d+ "
      "held_at_kill=\\d+ depth_at_hub_kill=\\d+ seconds=\\d+");
    static const std::regex pair("(\\w+)=(\\d+)");
    const auto line = last_line();
    std::map<std::string, unsigned> numbers;
    if (std::regex_match(line, promised))
      for (std::sregex_iterator it(line.begin(), line.end(), pair), end; it != end; ++it)
        numbers[(*it)[1]] = static_cast<unsigned>(std::stoul((*it)[2]));
    return numbers;
  }

  /// Processes that were started with our folder in their command line.
  [[nodiscard]] std::map<pid_t, std::string> processes_left() const {
    std::map<pid_t, std::string> left;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const auto name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos)
        continue;
      if (const auto command = read_file(entry.path() / "cmdline"); command.find((folder_ / "tmp").string()) != std::string::npos)
        left.emplace(std::stoi(name), command);
    }
    return left;
  }
  [[nodiscard]] std::vector<fs::path> files_left() const {
    return {fs::directory_iterator(folder_ / "tmp"), fs::directory_iterator()};
  }

  fs::path folder_;
};

TEST_F(quickstart_run, an_agent_and_the_hub_are_killed_and_every_record_arrives_once) {
  ASSERT_EQ(run({}), 0) << output();
  auto n = score();
  EXPECT_GT(n["sent"], 13'000u);
  EXPECT_EQ(n["delivered"], n["sent"]);
  EXPECT_EQ(n["lost"], 0u);
  EXPECT_EQ(n["duplicated"], 0u);
  EXPECT_EQ(n["agents"], 2u);
  EXPECT_EQ(n["agent_kills"], 1u);
  EXPECT_EQ(n["hub_kills"], 1u);
  EXPECT_GT(n["held_at_kill"], 0u);
  EXPECT_GT(n["depth_at_hub_kill"], 0u);
  EXPECT_GE(n["seconds"], 15u);
  EXPECT_THAT(processes_left(), IsEmpty());
  EXPECT_THAT(files_left(), IsEmpty());
}

TEST_F(quickstart_run, without_the_inbox_it_sees_what_was_doubled_and_fails) {
  ASSERT_EQ(run({"--no-inbox"}), 1) << output();
  auto n = score();
  EXPECT_GT(n["duplicated"], 0u) << output();
  EXPECT_EQ(n["lost"], 0u) << output();
  EXPECT_THAT(processes_left(), IsEmpty());
  EXPECT_THAT(files_left(), IsEmpty());
}

TEST_F(quickstart_run, told_to_keep_them_it_leaves_hub_and_agents_up) {
  ASSERT_EQ(run({"--keep"}), 0) << output();
  EXPECT_EQ(score().size(), 10u) << output();
  EXPECT_THAT(output(), HasSubstr("curl -s -H 'Authorization: Bearer dev' http://127.0.0.1:"));
  EXPECT_EQ(processes_left().size(), 3u);
  EXPECT_EQ(files_left().size(), 1u);
}

TEST_F(quickstart_run, interrupted_it_leaves_nothing_behind) {
  auto running = start({});
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (output().find("started agent-b") == std::string::npos && running.running() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(20ms);
  ASSERT_TRUE(running.running()) << output();
  ::kill(running.pid(), SIGTERM);
  EXPECT_EQ(running.wait(60s), 2);
  EXPECT_THAT(output(), HasSubstr("quickstart: interrupted"));
  EXPECT_THAT(processes_left(), IsEmpty());
  EXPECT_THAT(files_left(), IsEmpty());
}

} // namespace

// The embedded store and other processes: refused, fenced, killed.
#include "cloud/store/journaled.hpp"
#include "tests/cloud/store/kill_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sallyport::cloud {
namespace {

/// A cloud_store_writer with pipes to and from it. Killed and reaped by the destructor at the latest.
class writer {
public:
  writer(const char* mode, const std::filesystem::path& directory) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe");
    const auto path = directory.string();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::execl(WRITER, WRITER, mode, path.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  writer(const writer&) = delete;
  writer& operator=(const writer&) = delete;
  ~writer() {
    kill();
    ::close(from_);
    end_input();
  }

  void end_input() {
    if (to_ >= 0)
      ::close(std::exchange(to_, -1));
  }
  /// True when something can be read, false when nothing came for so long.
  bool wait_for_output(int milliseconds) const {
    pollfd poll{from_, POLLIN, 0};
    return ::poll(&poll, 1, milliseconds) > 0;
  }
  std::string line() {
    std::string text;
    for (char c = 0; wait_for_output(30'000) && ::read(from_, &c, 1) == 1 && c != '\n';)
      text.push_back(c);
    return text;
  }
  /// The highest tail acknowledged in what has been said up to now, or nothing more to read.
  std::uint64_t last_acknowledged(std::uint64_t so_far) {
    std::uint64_t tail = 0;
    std::size_t have = 0;
    for (;;) {
      const auto got = ::read(from_, reinterpret_cast<char*>(&tail) + have, sizeof tail - have);
      if (got <= 0)
        return so_far;
      have += static_cast<std::size_t>(got);
      if (have == sizeof tail) {
        so_far = tail;
        have = 0;
      }
    }
  }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  int wait() {
    int status = 0;
    if (pid_ > 0)
      ::waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

private:
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
};

class store_process : public ::testing::Test {
protected:
  testing::temporary_directory parent;
  std::filesystem::path directory = parent.path() / "store";
  epoch_number epoch;
  std::uint64_t tail = 0;

  void open_append_and_lose_the_lock_file(store_port& store) {
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok());
    const auto first = store.append(opened->epoch, opened->tail, {testing::put_meta("kept", "1")});
    ASSERT_EQ(first.status, append_status::durable);
    epoch = opened->epoch;
    tail = first.tail;
    std::filesystem::remove(directory / "owner.lock");
  }
  lmdb_settings settings() const { return {.directory = directory, .map_bytes = std::uint64_t{64} << 20}; }
};

TEST_F(store_process, a_second_process_is_refused_while_the_first_lives_and_not_after_it_was_killed) {
  writer owner{"hold", directory};
  ASSERT_EQ(owner.line(), "open 1");
  journaled_store store{settings(), {}};
  const auto refused = store.open({});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.err().code, errc::store_locked);
  EXPECT_THAT(refused.err().detail, ::testing::HasSubstr("process " + std::to_string(owner.pid())));
  owner.kill();
  const auto opened = store.open({});
  ASSERT_TRUE(opened.ok()) << to_string(opened.err());
  EXPECT_EQ(opened->epoch.value, 2u);

  writer late{"hold", directory};
  EXPECT_THAT(late.line(), ::testing::StartsWith("store_locked"));
  EXPECT_EQ(WEXITSTATUS(late.wait()), 3);
}

TEST_F(store_process, an_owner_whose_lock_file_was_deleted_keeps_others_out_by_its_journal) {
  journaled_store store{settings(), {}};
  open_append_and_lose_the_lock_file(store);
  writer usurper{"hold", directory};
  EXPECT_THAT(usurper.line(), ::testing::AllOf(::testing::StartsWith("store_locked"), ::testing::HasSubstr("store.journal")));
  EXPECT_EQ(WEXITSTATUS(usurper.wait()), 3);
  EXPECT_EQ(store.append(epoch, tail, {testing::put_meta("also", "2")}).status, append_status::durable);
  EXPECT_EQ(testing::replayed(store), (std::map<std::string, std::string>{{"also", "2"}, {"kept", "1"}}));
}

TEST_F(store_process, an_owner_whose_lock_file_was_deleted_is_fenced_by_the_next) {
  lmdb_store store{settings()}; // Without a journal that would be locked.
  open_append_and_lose_the_lock_file(store);
  writer usurper{"hold", directory};
  ASSERT_EQ(usurper.line(), "open 2");
  const auto outcome = store.append(epoch, tail, {testing::put_meta("lost", "2")});
  EXPECT_EQ(outcome.status, append_status::fenced);
  usurper.end_input();
  EXPECT_EQ(usurper.wait(), 0);
  store.close();
  ASSERT_TRUE(store.open({}).ok());
  EXPECT_EQ(testing::replayed(store), (std::map<std::string, std::string>{{"kept", "1"}}));
}

TEST_F(store_process, killed_at_any_moment_leaves_every_acknowledged_append_and_no_half_of_one) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random{seed};
  std::uint64_t acknowledged = 0, epoch = 0, under_way = 0;
  for (int life = 0; life < 50; ++life) {
    writer victim{"write", directory};
    ASSERT_THAT(victim.line(), ::testing::StartsWith("open ")) << "life " << life;
    ASSERT_TRUE(victim.wait_for_output(30'000));
    // Not a synchronisation: the moment of death is what is being varied.
    ::usleep(random() % 30'000);
    victim.kill();
    acknowledged = victim.last_acknowledged(acknowledged);

    journaled_store store{settings(), {}};
    const auto opened = store.open({});
    ASSERT_TRUE(opened.ok()) << to_string(opened.err()) << " in life " << life;
    ASSERT_TRUE(opened->tail == acknowledged || opened->tail == acknowledged + 1) << opened->tail << " after " << acknowledged;
    ASSERT_GT(opened->epoch.value, epoch);
    ASSERT_EQ(testing::kill_model::judge(store, opened->tail), "") << "life " << life;
    under_way += opened->tail - acknowledged;
    epoch = opened->epoch.value;
    acknowledged = opened->tail;
  }
  EXPECT_GE(acknowledged, 50u);
  RecordProperty("appends", std::to_string(acknowledged));
  RecordProperty("killed_between_commit_and_answer", std::to_string(under_way));
}

} // namespace
} // namespace sallyport::cloud

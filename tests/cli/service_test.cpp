#include "cli/service.hpp"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/support/temp_dir.hpp"

using namespace sallyport;
using namespace sallyport::cli;

namespace {

// What systemd would listen on.
class notify_socket {
public:
  explicit notify_socket(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un at = {};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~notify_socket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
  }
  [[nodiscard]] std::string received() const {
    char buffer[256];
    const auto n = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
  }

private:
  int fd_;
};

} // namespace

TEST(notifications, reach_systemds_socket) {
  const sallyport::testing::temp_dir dir;
  const notify_socket systemd(dir / "notify");
  service::notify("READY=1");
  EXPECT_EQ(systemd.received(), "READY=1");
}

TEST(notifications, without_systemd_go_nowhere) {
  ::unsetenv("NOTIFY_SOCKET");
  service::notify("READY=1");
}

TEST(notifications, keep_the_watchdog_quiet_while_the_process_waits) {
  const sallyport::testing::temp_dir dir;
  const notify_socket systemd(dir / "notify");
  ::setenv("WATCHDOG_USEC", "20000", 1);
  ::unsetenv("WATCHDOG_PID");
  service system("off");
  ::unsetenv("WATCHDOG_USEC");
  EXPECT_EQ(system.wait_watched(milliseconds(50)), wake_reason::timeout);
  EXPECT_EQ(systemd.received(), "WATCHDOG=1");
}

TEST(a_service, is_woken_by_its_own_threads_and_stopped_by_signals) {
  service system("off");
  service::wake();
  EXPECT_EQ(system.wait(milliseconds(20'000)), wake_reason::woken);
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(system.wait(milliseconds(20'000)), wake_reason::stop);
  EXPECT_EQ(system.wait(milliseconds(0)), wake_reason::timeout);
}

TEST(log_values, are_one_word_or_quoted_on_one_line) {
  EXPECT_EQ(log_value("plain"), "plain");
  EXPECT_EQ(log_value(""), "\"\"");
  EXPECT_EQ(log_value("two words"), "\"two words\"");
  EXPECT_EQ(log_value("a \"b\"\nevent=forged"), "\"a \\\"b\\\" event=forged\"");
}

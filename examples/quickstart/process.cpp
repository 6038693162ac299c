#include "examples/quickstart/process.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace quickstart {

using namespace std::chrono_literals;

process::process(const std::vector<std::string>& argv, const std::string& log_file, bool stays) {
  std::vector<char*> arguments;
  for (const auto& argument : argv)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0)
    throw std::system_error(errno, std::generic_category(), "starting " + argv.front());
  if (pid_ == 0) { // Only async-signal-safe calls until exec.
    ::setpgid(0, 0);
    if (!stays) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) // It died before we asked to be told.
        ::_exit(127);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execv(arguments.front(), arguments.data());
    ::_exit(127);
  }
  ::setpgid(pid_, pid_); // Here as well: whoever signals the group first must find it.
}

process::process(process&& other) noexcept : pid_(std::exchange(other.pid_, 0)), exit_code_(other.exit_code_) {}

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    kill();
    pid_ = std::exchange(other.pid_, 0);
    exit_code_ = other.exit_code_;
  }
  return *this;
}

process::~process() {
  kill();
}

bool process::running() {
  return pid_ != 0 && !wait(0ms);
}

void process::signal(int number) const {
  if (pid_ != 0 && !exit_code_)
    ::kill(-pid_, number);
}

std::optional<int> process::wait(std::chrono::milliseconds at_most) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  while (!exit_code_ && pid_ != 0) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_)
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    else if (std::chrono::steady_clock::now() >= end)
      break;
    else
      std::this_thread::sleep_for(2ms);
  }
  return exit_code_;
}

void process::kill() {
  if (pid_ == 0)
    return;
  ::kill(-pid_, SIGKILL); // The group: also what a child of ours may have started.
  while (!exit_code_)
    wait(1s);
  pid_ = 0;
}

} // namespace quickstart

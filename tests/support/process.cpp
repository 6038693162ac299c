#include "tests/support/process.hpp"

#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace sallyport::testing {
namespace {

using steady = std::chrono::steady_clock;

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& s : strings)
    out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment_with(const std::vector<std::string>& additions) {
  std::vector<std::string> out;
  for (char** e = environ; *e; ++e)
    out.emplace_back(*e);
  for (const auto& addition : additions) {
    const auto key = addition.substr(0, addition.find('=') + 1);
    std::erase_if(out, [&key](const std::string& e) { return e.compare(0, key.size(), key) == 0; });
    out.push_back(addition);
  }
  return out;
}

int open_for_output(const std::string& path) {
  return open(path.empty() ? "/dev/null" : path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

} // namespace

process::process(process_options options) : options_(std::move(options)) {
  auto argv = options_.argv;
  auto env = environment_with(options_.env);
  const auto argv_pointers = pointers(argv), env_pointers = pointers(env);
  const int in = open(options_.stdin_file.empty() ? "/dev/null" : options_.stdin_file.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = open_for_output(options_.stdout_file);
  const int err = options_.stderr_file.empty() ? out : open_for_output(options_.stderr_file);
  int failure[2];
  if (in < 0 || out < 0 || err < 0 || pipe2(failure, O_CLOEXEC) != 0)
    throw std::runtime_error("cannot open the files of " + argv.at(0) + ": " + std::strerror(errno));

  pid_ = fork();
  if (pid_ == 0) { // Only async-signal-safe calls from here on: other threads may have held locks.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    close_range(3, ~0u,
                CLOSE_RANGE_CLOEXEC); // Sockets of libraries: a child that holds one too keeps its port and its connection.
    if (options_.folder.empty() || chdir(options_.folder.c_str()) == 0)
      execvpe(argv_pointers[0], argv_pointers.data(), env_pointers.data());
    const int why = errno;
    [[maybe_unused]] const auto n = write(failure[1], &why, sizeof why);
    _exit(127);
  }
  close(failure[1]);
  close(in);
  close(out);
  if (err != out)
    close(err);
  int why = 0;
  const bool failed = pid_ < 0 || read(failure[0], &why, sizeof why) == sizeof why; // End of file: exec has succeeded.
  close(failure[0]);
  if (failed) {
    if (pid_ > 0)
      waitpid(pid_, nullptr, 0);
    throw std::runtime_error("cannot start " + argv.at(0) + ": " + std::strerror(pid_ < 0 ? errno : why));
  }
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)); // glibc 2.36 declares the function without extern "C".
  if (pidfd_ < 0) {
    end();
    throw std::runtime_error(std::string("pidfd_open: ") + std::strerror(errno));
  }
}

process::process(process&& other) noexcept {
  *this = std::move(other);
}

process& process::operator=(process&& other) noexcept {
  if (this != &other) {
    end();
    options_ = std::move(other.options_);
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::exchange(other.pidfd_, -1);
    ending_ = std::exchange(other.ending_, std::nullopt);
  }
  return *this;
}

process::~process() {
  end();
}

void process::end() noexcept {
  if (pid_ > 0 && !ending_) {
    if (pidfd_ < 0 || !stop(SIGTERM, std::chrono::seconds(2))) {
      kill(-pid_, SIGKILL);
      kill(pid_, SIGCONT); // A stopped process dies too, but let nothing depend on it.
      waitpid(pid_, nullptr, 0);
    }
  }
  if (pidfd_ >= 0)
    close(pidfd_);
  pid_ = pidfd_ = -1;
}

bool process::running() {
  return pid_ > 0 && !wait(milliseconds(0));
}

void process::signal(int number) {
  if (pid_ > 0 && !ending_)
    kill(pid_, number);
}

std::optional<ending> process::wait(milliseconds bound) {
  const auto give_up = steady::now() + bound;
  while (!ending_ && pid_ > 0) {
    const auto left = std::chrono::ceil<milliseconds>(give_up - steady::now());
    pollfd p{pidfd_, POLLIN, 0};
    const int ready = poll(&p, 1, static_cast<int>(std::max<milliseconds::rep>(0, left.count())));
    if (ready == 0)
      return std::nullopt;
    int status = 0;
    if (ready > 0 && waitpid(pid_, &status, 0) == pid_)
      ending_ = WIFSIGNALED(status) ? ending{-1, WTERMSIG(status)} : ending{WEXITSTATUS(status), 0};
  }
  return ending_;
}

std::optional<ending> process::stop(int number, milliseconds bound) {
  signal(number);
  return wait(bound);
}

std::optional<std::string> process::find_line(const std::string& text) const {
  for (const auto& content : {out(), options_.stderr_file.empty() ? std::string() : err()}) {
    for (std::size_t begin = 0, end; (end = content.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto line = content.substr(begin, end - begin);
      if (line.find(text) != std::string::npos)
        return line;
    }
  }
  return std::nullopt;
}

std::optional<std::string> process::wait_for_line(const std::string& text, milliseconds bound) {
  const auto give_up = steady::now() + bound;
  for (;;) {
    const bool last_look = !running() || steady::now() >= give_up; // Asked first: what it wrote before its end must count.
    if (auto line = find_line(text); line || last_look)
      return line;
    wait(milliseconds(5));
  }
}

std::string process::out() const {
  return content_of(options_.stdout_file);
}

std::string process::err() const {
  return options_.stderr_file.empty() ? out() : content_of(options_.stderr_file);
}

} // namespace sallyport::testing

#include "cli/service.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>

namespace sallyport::cli {

namespace {

// Every line is key=value: sentences become msg="...", what begins with event= is so already.
class line_formatter final : public spdlog::custom_flag_formatter {
public:
  void format(const spdlog::details::log_msg& msg, const std::tm&, spdlog::memory_buf_t& out) override {
    std::string line(msg.payload.data(), msg.payload.size());
    if (!line.starts_with("event="))
      line = "msg=" + log_value(line);
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<line_formatter>(); }
};

sigset_t awaited_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1})
    sigaddset(&set, signal);
  return set;
}

std::optional<milliseconds> watchdog_from_environment() {
  const char* usec = std::getenv("WATCHDOG_USEC");
  const char* pid = std::getenv("WATCHDOG_PID");
  if (usec == nullptr || (pid != nullptr && std::atol(pid) != ::getpid()))
    return std::nullopt;
  const auto ms = std::atoll(usec) / 2000;
  return ms > 0 ? std::optional(milliseconds(ms)) : std::nullopt;
}

} // namespace

service::service(const std::string& level) : watchdog_(watchdog_from_environment()) {
  const auto set = awaited_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto logger = std::make_shared<spdlog::logger>("sallyport", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<line_formatter>('*').set_pattern("time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %*");
  logger->set_formatter(std::move(formatter));
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::trace); // A line that a crash swallows is the one that is wanted.
  spdlog::set_default_logger(std::move(logger));
}

wake_reason service::wait(milliseconds at_most) {
  const auto set = awaited_signals();
  const timespec time{static_cast<time_t>(at_most.count() / 1000), static_cast<long>(at_most.count() % 1000 * 1'000'000)};
  const int signal = ::sigtimedwait(&set, nullptr, &time);
  return signal == SIGUSR1 ? wake_reason::woken : signal > 0 ? wake_reason::stop : wake_reason::timeout;
}

void service::wake() {
  ::kill(::getpid(), SIGUSR1);
}

wake_reason service::wait_watched(std::optional<milliseconds> at_most, const std::function<bool()>& alive) {
  using clock = std::chrono::steady_clock;
  const auto end = at_most ? std::optional(clock::now() + *at_most) : std::nullopt;
  while (true) {
    auto step = watchdog_.value_or(milliseconds(60'000));
    if (end)
      step = std::clamp(std::chrono::ceil<milliseconds>(*end - clock::now()), milliseconds(0), step);
    const auto why = wait(step);
    if (why != wake_reason::timeout)
      return why;
    if (watchdog_ && (!alive || alive()))
      notify("WATCHDOG=1");
    if (end && clock::now() >= *end)
      return wake_reason::timeout;
  }
}

void service::notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr)
    return;
  sockaddr_un to = {};
  to.sun_family = AF_UNIX;
  const auto length = std::strlen(path);
  if (length < 2 || length >= sizeof to.sun_path || (*path != '/' && *path != '@'))
    return;
  std::memcpy(to.sun_path, path, length);
  if (*path == '@')
    to.sun_path[0] = '\0'; // The abstract name space.
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), size);
  ::close(fd);
}

const std::vector<std::string>& log_levels() {
  static const std::vector<std::string> levels{"trace", "debug", "info", "warning", "error", "off"};
  return levels;
}

void log_info(const std::string& line) {
  spdlog::info("{}", line);
}
void log_warning(const std::string& line) {
  spdlog::warn("{}", line);
}
void log_error(const std::string& line) {
  spdlog::error("{}", line);
}

std::string log_value(std::string_view text) {
  const bool plain = !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f;
  });
  if (plain)
    return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += '\\';
    // A line break in a value would be a line of its own: what somebody sent must not forge one.
    out += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  }
  return out + '"';
}

} // namespace sallyport::cli

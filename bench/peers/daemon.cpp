#include "bench/peers/daemon.hpp"

#include "bench/harness/clock.hpp"
#include "bench/harness/runner.hpp"
#include "tests/support/free_port.hpp"

#include <stdexcept>
#include <thread>

namespace sallyport::bench {

namespace {

using std::chrono::milliseconds;

// Also of a server that reads ten million messages again.
constexpr auto patience = std::chrono::minutes(10);
constexpr int attempts = 5;
constexpr std::size_t words_max = 2000;

} // namespace

daemon::daemon(daemon_options options) : options_(std::move(options)) {
  for (int i = 0; i < attempts; ++i) {
    port_ = testing::free_port();
    if (start())
      return;
  }
  throw std::runtime_error(options_.name + " does not start: " + last_words());
}

daemon::~daemon() {
  if (process_)
    process_->stop(options_.stop_signal, patience);
}

std::vector<pid_t> daemon::processes() const {
  return family_of(process_->pid());
}

std::chrono::nanoseconds daemon::restart() {
  if (!process_->stop(options_.stop_signal, patience))
    throw std::runtime_error(options_.name + " does not stop");
  const auto begin = now_ns();
  if (!start())
    throw std::runtime_error(options_.name + " does not start over its own data: " + last_words());
  return std::chrono::nanoseconds(now_ns() - begin);
}

bool daemon::start() {
  process_.reset();
  process_ = std::make_unique<testing::process>(testing::process_options{
    .argv = options_.argv(port_), .stdout_file = (options_.folder / ("log-" + std::to_string(++lives_))).string()});
  const auto give_up = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(patience).count());
  while (process_->running()) {
    try {
      if (options_.serves(port_))
        return true;
    } catch (const std::runtime_error&) { // Not yet.
    }
    if (now_ns() > give_up)
      throw std::runtime_error(options_.name + " serves nobody: " + last_words());
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

std::string daemon::last_words() const {
  const auto words = process_->out();
  return words.size() > words_max ? words.substr(words.size() - words_max) : words;
}

} // namespace sallyport::bench

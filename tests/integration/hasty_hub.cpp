// A hub with a planted mistake: its store says "durable" and writes nothing until it is closed. What the durability test must find out.
//
//   hasty_hub DATA_DIR        prints its address, and runs until SIGTERM
#include "cloud/hub/hub.hpp"
#include "cloud/store/lmdb.hpp"

#include <csignal>
#include <cstdio>

namespace {

using namespace sallyport;
using namespace sallyport::cloud;

class hasty_store final : public store_port {
public:
  explicit hasty_store(const std::string& directory) : disk_({.directory = directory}) {}

  result<opened_store> open(epoch_number at_least) override { return disk_.open(at_least); }
  result<void> replay(const std::function<void(std::string_view, std::string_view)>& visitor) override {
    return disk_.replay(visitor);
  }
  append_outcome append(epoch_number epoch, std::uint64_t tail, const batch& changes) override {
    appends_.push_back({epoch, tail, changes});
    return {append_status::durable, tail + 1, {}};
  }
  result<std::shared_ptr<const std::string>> fetch(std::string_view key) override { return disk_.fetch(key); }
  store_space space() override { return disk_.space(); }
  void close() override {
    for (const auto& a : appends_)
      disk_.append(a.epoch, a.tail, a.changes);
    appends_.clear();
    disk_.close();
  }

private:
  struct postponed {
    epoch_number epoch;
    std::uint64_t tail;
    batch changes;
  };
  lmdb_store disk_;
  std::vector<postponed> appends_;
};

} // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigprocmask(SIG_BLOCK, &ends, nullptr); // Before there are threads: all of them inherit it.

  config::hub_settings settings;
  settings.listen = "127.0.0.1:0";
  settings.data_dir = argv[1];
  settings.dev = true;
  settings.session_ttl = std::chrono::minutes{5};
  hub_parts parts;
  parts.store = std::make_unique<hasty_store>(settings.data_dir);
  auto running = hub::start(std::move(settings), std::move(parts));
  if (!running) {
    std::fprintf(stderr, "%s\n", to_string(running.err()).c_str());
    return 1;
  }
  std::printf("http://127.0.0.1:%u\n", unsigned{(*running)->port()});
  std::fflush(stdout);
  int received = 0;
  sigwait(&ends, &received);
  (*running)->stop();
  return 0;
}

// The systems of a workload, each with a server of its own that stands from the first to the last round, taking turns. A server is idle
// while it is not its system's turn, and before each turn the file system is synced, so that nobody pays for what another left unwritten.
//
// One that fails costs a note and goes on with a fresh server; at the third failure it is out. Belongs to the main thread, as every server
// does (tests/support/process.hpp).
#pragma once

#include "bench/harness/runner.hpp"
#include "bench/harness/workload.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sallyport::bench {

class turns {
public:
  struct entry {
    const system* what;
    server_options options;
    std::string label; // For notes: the name, or more where a system has several servers.
    std::filesystem::path folder;
    std::unique_ptr<server> at; // None: it is out.
    int failures = 0;
    bool standing = false; // Left for the next workload, unless it failed (plan::standing).
  };

  /// Starts nothing yet.
  turns(const plan& p, findings& f, std::string workload);
  ~turns();
  turns(const turns&) = delete;
  turns& operator=(const turns&) = delete;

  /// One that takes part. Starts its server; if it does not come up, a note says so and it is out.
  void enter(const system& what, server_options options = {}, const std::string& label = {});
  /// enter() for all chosen systems, with these options.
  void enter_all(const server_options& options = {});

  /// Everybody's turn, once. What it throws is noted.
  void each(const std::string& what, const std::function<void(entry&)>& turn);

  /// A run on the entry's server, in a folder that is made and removed.
  run_figures run(entry& e, const run_spec& spec);
  /// How many messages last about so long, found by short runs that also warm the server up. The spec's messages are a bound from below.
  std::uint64_t calibrate(entry& e, run_spec spec, double seconds);

  /// Calibrates everybody to about so many seconds, then so many rounds: each one's figures, as they come.
  void rounds(std::size_t count, double seconds, const std::function<run_spec(const entry&)>& spec,
              const std::function<void(entry&, const run_figures&)>& report);

private:
  void start(entry& e);
  void fail(entry& e, const std::string& what, const std::string& why);

  const plan& plan_;
  findings& findings_;
  std::string workload_;
  std::filesystem::path folder_;
  std::vector<std::unique_ptr<entry>> entries_;
  int runs_ = 0;
};

/// Sallyport's median divided by the other's, at this point; 0 when one of them has none.
double ratio_to(const findings& f, const std::string& workload, const std::string& other, const std::string& point,
                const std::string& what);

} // namespace sallyport::bench

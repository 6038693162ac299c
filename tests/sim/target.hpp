// The local system: a database as a map. It executes the sql adapter's transactions, which are data, step by step; and it fails, hangs up,
// and commits with its answer lost.
#pragma once

#include "adapters/sql/core/plan.hpp"
#include "tests/judge/history.hpp"
#include "tests/sim/stage.hpp"

#include <map>
#include <string>
#include <vector>

namespace sallyport::sim {

using judge::history;

class target {
public:
  target(stage& s, history& h);

  bool down = false;    // Nobody can connect.
  bool healthy = false; // No failures of its own making.

  struct attempt {
    wire::grant grant;
    event_attributes event;
  };
  /// Carries out a batch for an agent, as the sql adapter does: in as few transactions as may be; alone, when together they fail.
  std::vector<wire::settlement> perform(const std::string& agent, const std::vector<attempt>& batch);

private:
  using key = std::pair<std::string, std::string>; // source, id
  struct row {
    std::string result;
  };
  adapters::sql::execution execute(const adapters::sql::transaction& t, const std::string& agent);
  std::optional<adapters::sql::execution> stumble(bool commit);
  void run(adapters::sql::transaction t, const std::string& agent, std::vector<wire::settlement>& out);
  void publish(const std::vector<judge::effect>& effects);

  stage& stage_;
  history& history_;
  adapters::sql::catalog statements_;
  std::map<key, row> inbox_;
};

} // namespace sallyport::sim

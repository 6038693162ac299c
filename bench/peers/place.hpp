// Where Sallyport's clients find a hub that the harness has started, and what its queues are called. For workloads that speak to the hub
// themselves, beside the driver in sallyport.cpp.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

namespace sallyport::bench {

/// server::address() of a hub.
struct place {
  std::string url, ca_file, producer_token, agent_token;

  [[nodiscard]] std::string text() const { return url + "|" + ca_file + "|" + producer_token + "|" + agent_token; }
  static place from(const std::string& text) {
    place p;
    std::istringstream in(text);
    for (auto* part : {&p.url, &p.ca_file, &p.producer_token, &p.agent_token})
      std::getline(in, *part, '|');
    return p;
  }
  [[nodiscard]] std::uint16_t port() const { return static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))); }
};

inline std::string connection_named(std::size_t queue) {
  return "q" + std::to_string(queue);
}
// Each queue has a group of its own, so that W1 with a hundred of them is a hundred groups.
inline std::string group_named(std::size_t queue) {
  return "bench" + std::to_string(queue);
}

} // namespace sallyport::bench

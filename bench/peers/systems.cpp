#include "bench/peers/peers.hpp"

#include <stdexcept>

namespace sallyport::bench {

const std::vector<system>& systems() {
  static const std::vector<system> all = [] {
    std::vector<system> list;
    for (auto make : {sallyport_systems, redis_systems, rabbitmq_systems, postgres_systems, nats_systems, beanstalkd_systems})
      for (auto& s : make())
        list.push_back(std::move(s));
    return list;
  }();
  return all;
}

const system& system_named(std::string_view name) {
  std::string known;
  for (const auto& s : systems()) {
    if (s.name == name)
      return s;
    known += (known.empty() ? "" : ", ") + s.name;
  }
  throw std::runtime_error("no system is called '" + std::string(name) + "'; there are " + known);
}

} // namespace sallyport::bench

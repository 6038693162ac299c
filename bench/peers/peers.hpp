// One function per file of this folder: the systems it drives. systems.cpp puts them in order.
#pragma once

#include "bench/harness/system.hpp"

namespace sallyport::bench {

std::vector<system> sallyport_systems();
std::vector<system> redis_systems();
std::vector<system> postgres_systems();
std::vector<system> beanstalkd_systems();
std::vector<system> nats_systems();
std::vector<system> rabbitmq_systems();

} // namespace sallyport::bench

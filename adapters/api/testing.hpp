// Jobs for tests of adapters, as the agent would make them. Needs GoogleTest.
#pragma once

#include "adapters/api/adapter.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace sallyport::adapters {

/// A job as the agent makes it. Two with the same serial are the same message; attempt and fence differ as they do after a lost answer.
inline job make_job(std::uint64_t serial, const std::string& type, const std::string& data, std::uint32_t attempt = 1,
                    milliseconds time_left = milliseconds{30'000}) {
  job j;
  j.message = {1, serial};
  j.fence = {1, serial * 100 + attempt};
  j.group = {"group"};
  j.connection = {"connection"};
  j.attempt = attempt;
  j.time_left = time_left;
  j.cancel = std::make_shared<cancel_signal>();
  j.event = std::make_shared<const std::string>(R"({"specversion":"1.0","id":"e)" + std::to_string(serial)
                                                + R"(","source":"/conformance","type":")" + type + "\""
                                                + (data.empty() ? "" : ",\"data\":" + data) + "}");
  auto parsed = parse_event(*j.event, {});
  if (!parsed)
    throw std::invalid_argument("not an event: " + parsed.err().detail + ": " + *j.event);
  j.attributes = std::move(parsed->attributes);
  return j;
}

inline outcome perform_one(adapter& a, const job& j) {
  auto outcomes = a.perform({j});
  EXPECT_EQ(outcomes.size(), 1u);
  return outcomes.empty() ? outcome{} : std::move(outcomes.front());
}

} // namespace sallyport::adapters

#include "runtime/core/restart_policy.hpp"

#include <algorithm>
#include <unordered_set>

namespace sallyport::runtime {

namespace {

result<void> validate(const restart_limits& limits, const std::string& whose) {
  if (limits.period <= milliseconds{0})
    return {errc::invalid_config, "the restart period of " + whose + " is not positive"};
  if (limits.wait_min <= milliseconds{0} || limits.wait_min > limits.wait_max)
    return {errc::invalid_config, "the restart waits of " + whose + " are not a range of positive times"};
  return {};
}

} // namespace

result<void> validate(const supervision& plan) {
  if (plan.children.empty())
    return {errc::invalid_config, "a supervisor needs at least one child"};
  std::unordered_set<std::string> names;
  for (const auto& child : plan.children) {
    if (child.name.empty())
      return {errc::invalid_config, "a supervised child has no name"};
    if (!names.insert(child.name).second)
      return {errc::invalid_config, "two supervised children are called " + child.name};
    if (auto ok = validate(child.limits, child.name); !ok)
      return ok;
  }
  return validate(plan.limits, "the supervisor");
}

restart_policy::restart_policy(supervision plan) : plan_(std::move(plan)) {
  failures_.resize(plan_.strategy == restart_strategy::one_for_one ? plan_.children.size() : 1);
}

restart_decision restart_policy::failed(std::size_t child, mono_time now) {
  SALLYPORT_ASSERT(child < plan_.children.size());
  const bool alone = plan_.strategy == restart_strategy::one_for_one;
  const auto& limits = alone ? plan_.children[child].limits : plan_.limits;
  auto& failures = failures_[alone ? child : 0];
  while (!failures.empty() && failures.front() + limits.period <= now)
    failures.pop_front();
  failures.push_back(now);

  restart_decision decision;
  decision.restarts = static_cast<std::uint32_t>(failures.size());
  decision.give_up = failures.size() > limits.restarts;
  if (decision.give_up || !alone)
    for (auto i = plan_.children.size(); i-- > 0;)
      if (i != child)
        decision.stop.push_back(i);
  if (decision.give_up)
    return decision;
  if (alone)
    decision.start.push_back(child);
  else
    for (std::size_t i = 0; i < plan_.children.size(); ++i)
      decision.start.push_back(i);
  const auto doublings = std::min<std::size_t>(failures.size() - 1, 20);
  decision.wait = std::min(limits.wait_max, limits.wait_min * (std::int64_t{1} << doublings));
  return decision;
}

} // namespace sallyport::runtime

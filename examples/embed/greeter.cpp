#include "greeter.hpp"

#include <sallyport/adapters/api/event_reader.hpp>
#include <sallyport/protocol/json.hpp>

#include <utility>

namespace embed {

namespace adapters = sallyport::adapters;
namespace wire = sallyport::wire;

namespace {

class greeter final : public adapters::adapter {
public:
  explicit greeter(greet_function greet) : greet_(std::move(greet)) {}

  // The hub grants messages of this connection only to agents that reach its target. Ours is always there.
  adapters::probe_result probe() override { return {wire::reach::up, {}}; }

  // Jobs come alone, because traits::batch_max is 1 unless set. One outcome for each.
  std::vector<adapters::outcome> perform(const std::vector<adapters::job>& jobs) override {
    std::vector<adapters::outcome> outcomes;
    for (const auto& job : jobs)
      outcomes.push_back(greet_one(job));
    return outcomes;
  }

private:
  adapters::outcome greet_one(const adapters::job& job) {
    const auto to = adapters::event_reader{*job.event}.at("data.to");
    if (to.what != adapters::event_value::kind::string) {
      // A wrong message is wrong every time: a dead letter at once, for a person to look at. Nothing has been done.
      adapters::failure why;
      why.error = "greeting: the event's data has no text \"to\"";
      why.retryable = false;
      why.effect = wire::effect_state::none;
      return adapters::failed(std::move(why));
    }
    greet_(to.text());
    sallyport::json_writer result;
    result.begin_object().field("greeted", to.text()).end_object();
    return adapters::done(result.take());
  }

  greet_function greet_;
};

} // namespace

adapters::factory make_greeter_factory(greet_function greet) {
  adapters::factory factory;
  factory.about.kind = "greeter";
  factory.about.fingerprint = "greeter";                               // The same for all agents that reach the same target.
  factory.about.effect = wire::effect_promise::at_least_once;          // Nobody remembers whom we have greeted.
  factory.make = [greet] { return std::make_unique<greeter>(greet); }; // Called again after a crash.
  return factory;
}

} // namespace embed

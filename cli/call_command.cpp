#include "cli/commands.hpp"
#include "cli/hub_client.hpp"
#include "cli/report.hpp"
#include "cli/send_input.hpp"
#include "protocol/codec.hpp"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <random>

namespace sallyport::cli {

namespace {

struct call_variables {
  hub_options hub;
  std::string group, connection, json, id;
  wrap_rules wrap{.source = "sallyport-call", .type = "sallyport.call"};
  std::uint64_t wait = 30;
};

// Two calls with the same content are two calls, so unlike a sent record a call gets an id that never comes again.
std::string fresh_id() {
  std::random_device random;
  char out[40];
  std::snprintf(out, sizeof out, "%08x%08x%08x%08x", random(), random(), random(), random());
  return out;
}

result<std::string> event_of(const call_variables& v) {
  auto json = v.json == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : v.json;
  auto rules = v.wrap;
  rules.id = v.id.empty() ? fresh_id() : v.id;
  return to_event(json, 1, rules);
}

exit_code call(const call_variables& v) {
  const auto target = connection_path(v.group, v.connection, "/calls");
  if (!target)
    return report("call", exit_code::usage, target.err().detail);
  const auto event = event_of(v);
  if (!event)
    return report("call", exit_code::usage, to_string(event.err()));
  const auto ask = connect(v.hub);
  if (!ask)
    return report("call", exit_code::usage, ask.err().detail);
  const auto wait = v.wait == 0 ? std::string("respond-async") : "wait=" + std::to_string(v.wait);
  // The hub's answer comes at the end of the wait at the latest; the rest is for the way.
  const auto reply = (*ask)({.method = "POST",
                             .target = *target,
                             .content_type = "application/cloudevents+json",
                             .body = *event,
                             .prefer = wait,
                             .timeout = seconds(v.wait + 15)});
  if (!reply)
    return report("call", reply.err());
  const auto said = wire::decode<wire::call_reply>(reply->body);
  if (!said)
    return report("call", said.err());
  if (reply->status == 202) {
    std::fprintf(stderr, "not finished yet; `sallyport explain %s` tells how it goes\n", to_string(said->message).c_str());
    std::printf("%s\n", to_string(said->message).c_str());
    return exit_code::ok;
  }
  if (!said->result.empty())
    std::printf("%s\n", said->result.c_str());
  return exit_code::ok;
}

} // namespace

void add_call_command(command& program) {
  auto v = std::make_shared<call_variables>();
  auto c = program.sub("call", "Ask a local system and wait for its answer.");
  c.argument("GROUP", v->group, "The group that reaches the local system.")
    .argument("CONNECTION", v->connection, "The local system.")
    .argument("JSON", v->json, "What to ask, or a whole CloudEvent; - reads standard input.");
  add_hub_options(c, v->hub);
  c.option("--wait SECONDS", v->wait, "How long to wait; 0 prints the message's id and does not wait.", 0, 300)
    .option("--type TYPE", v->wrap.type, "Type of the event (default: sallyport.call).")
    .option("--source SOURCE", v->wrap.source, "Its source (default: sallyport-call).")
    .option("--id ID", v->id, "Its id: the same call asked again gets the same answer (default: a new one).")
    .examples("  sallyport call plant-7 erp-db '{\"alpha_3\":\"deu\"}' --type language.lookup\n"
              "The answer goes to standard output. Exit code 7 says that it did not run and never will, 8 that it may have run.")
    .runs([v] { return call(*v); });
}

} // namespace sallyport::cli

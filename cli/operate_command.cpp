// status, explain, dead, pause and resume: looking at a hub and steering it.
#include "cli/commands.hpp"
#include "cli/hub_client.hpp"
#include "cli/report.hpp"
#include "cli/views.hpp"
#include "protocol/codec.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

namespace sallyport::cli {

namespace {

struct operate_variables {
  hub_options hub;
  std::string group, connection, message;
  std::vector<std::string> messages;
  bool json = false, all = false, peek = false;
  double watch = 0;
  std::uint64_t limit = 100;
};

wall_time now() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

// ---- status ----------------------------------------------------------------

result<std::string> look(const ask_hub& ask, const operate_variables& v) {
  const auto reply = ask({.target = v.group.empty() ? "/v1/groups" : "/v1/groups/" + v.group});
  if (!reply)
    return reply.err();
  if (v.json)
    return reply->body + "\n";
  wire::groups_reply groups;
  if (v.group.empty()) {
    auto all = wire::decode<wire::groups_reply>(reply->body);
    if (!all)
      return all.err();
    groups = std::move(*all);
  } else {
    auto one = wire::decode<wire::group_view>(reply->body);
    if (!one)
      return one.err();
    groups.groups.push_back(std::move(*one));
  }
  return status_text(groups, now());
}

exit_code status(const operate_variables& v) {
  if (!v.group.empty() && !is_valid_name(v.group))
    return report("status", exit_code::usage, "\"" + v.group + "\" is not the name of a group");
  const auto ask = connect(v.hub);
  if (!ask)
    return report("status", exit_code::usage, ask.err().detail);
  while (true) {
    const auto text = look(*ask, v);
    if (!text && v.watch <= 0)
      return report("status", text.err());
    // Watching goes on through a hub's restart: that is when people watch.
    if (v.watch > 0 && !v.json && ::isatty(STDOUT_FILENO) == 1)
      std::fputs("\x1b[H\x1b[2J", stdout);
    std::fputs(text ? text->c_str() : (printable(to_string(text.err())) + "\n").c_str(), stdout);
    if (v.watch <= 0)
      return exit_code::ok;
    if (std::fflush(stdout) != 0)
      return exit_code::failure; // Whoever read it is gone.
    std::this_thread::sleep_for(std::chrono::duration<double>(v.watch));
  }
}

// ---- explain ----------------------------------------------------------------

exit_code explain(const operate_variables& v) {
  if (!parse_message_id(v.message))
    return report("explain", exit_code::usage,
                  "\"" + v.message + "\" is not a message's id; `sallyport dead list` and enqueue replies have them");
  const auto ask = connect(v.hub);
  if (!ask)
    return report("explain", exit_code::usage, ask.err().detail);
  const hub_request request{.target = "/v1/messages/" + v.message};
  if (v.json) {
    const auto reply = (*ask)(request);
    if (!reply)
      return report("explain", reply.err());
    std::printf("%s\n", reply->body.c_str());
    return exit_code::ok;
  }
  const auto view = ask_for<wire::message_view>(*ask, request);
  if (!view)
    return report("explain", view.err());
  std::fputs(explain_text(*view, now()).c_str(), stdout);
  return exit_code::ok;
}

// ---- dead letters ----------------------------------------------------------------

exit_code list_dead(const operate_variables& v) {
  const auto path = connection_path(v.group, v.connection, "/dead");
  if (!path)
    return report("dead list", exit_code::usage, path.err().detail);
  const auto ask = connect(v.hub);
  if (!ask)
    return report("dead list", exit_code::usage, ask.err().detail);
  std::uint64_t shown = 0;
  std::string after;
  while (shown < v.limit) {
    const auto size = std::min<std::uint64_t>(v.limit - shown, 1000);
    const hub_request request{.target = *path + "?limit=" + std::to_string(size) + (after.empty() ? "" : "&after=" + after)
                                        + (v.peek ? "&peek=true" : "")};
    const auto page = ask_for<wire::queue_page>(*ask, request);
    if (!page)
      return report("dead list", page.err());
    if (v.json) {
      std::printf("%s\n", wire::encode(*page).c_str());
    } else {
      std::fputs(page_text(*page, now()).c_str(), stdout);
      if (v.peek)
        for (const auto& m : page->messages)
          std::printf("%s\n", printable(m.event).c_str());
    }
    shown += page->messages.size();
    after = page->next;
    if (after.empty() || page->messages.empty())
      break;
  }
  if (shown == 0 && !v.json)
    std::puts("no dead letters");
  else if (!after.empty())
    std::fprintf(stderr, "there are more; --limit shows them\n");
  return exit_code::ok;
}

exit_code redrive(const operate_variables& v) {
  const auto path = connection_path(v.group, v.connection, "/dead/redrive");
  if (!path)
    return report("dead redrive", exit_code::usage, path.err().detail);
  // Without this a forgotten argument would set everything going.
  if (v.messages.empty() != v.all)
    return report("dead redrive", exit_code::usage, "name the messages, or write --all for every dead letter of the queue");
  wire::redrive order;
  for (const auto& text : v.messages) {
    const auto id = parse_message_id(text);
    if (!id)
      return report("dead redrive", exit_code::usage, "\"" + text + "\" is not a message's id");
    order.messages.push_back(*id);
  }
  const auto ask = connect(v.hub);
  if (!ask)
    return report("dead redrive", exit_code::usage, ask.err().detail);
  const auto done = ask_for<wire::count_reply>(
    *ask, {.method = "POST", .target = *path, .content_type = "application/json", .body = wire::encode(order)});
  if (!done)
    return report("dead redrive", done.err());
  std::printf("redriven=%llu\n", static_cast<unsigned long long>(done->count));
  return exit_code::ok;
}

// ---- pause and resume ----------------------------------------------------------------

exit_code set_paused(const operate_variables& v, bool paused) {
  const std::string name = paused ? "pause" : "resume";
  const auto path = connection_path(v.group, v.connection, "");
  if (!path)
    return report(name, exit_code::usage, path.err().detail);
  const auto ask = connect(v.hub);
  if (!ask)
    return report(name, exit_code::usage, ask.err().detail);
  // PUT would make a connection that is only a slip of the pen.
  if (const auto known = (*ask)({.target = *path}); !known)
    return report(name, known.err());
  wire::policy_patch patch;
  patch.paused = paused;
  const auto view = ask_for<wire::connection_view>(
    *ask, {.method = "PUT", .target = *path, .content_type = "application/json", .body = wire::encode(patch)});
  if (!view)
    return report(name, view.err());
  std::printf("%s/%s %s, %llu waiting\n", v.group.c_str(), v.connection.c_str(), view->policy.paused ? "paused" : "running",
              static_cast<unsigned long long>(view->ready + view->delayed + view->behind_key));
  return exit_code::ok;
}

void add_queue_arguments(command& c, operate_variables& v) {
  c.argument("GROUP", v.group, "The group.").argument("CONNECTION", v.connection, "The connection.");
}

} // namespace

void add_status_command(command& program) {
  auto v = std::make_shared<operate_variables>();
  auto c = program.sub("status", "Show groups, agents, connections and how many messages wait.");
  add_hub_options(c, v->hub);
  c.option("--group NAME", v->group, "Only this group.")
    .flag("--json", v->json, "As the hub says it, for scripts.")
    .option("--watch SECONDS", v->watch, "Show it again every so often.", 0.1, 3600.0)
    .examples("  sallyport status --watch 1\n"
              "  sallyport status --group plant-7 --json | jq '.connections[] | {name, ready}'")
    .runs([v] { return status(*v); });
}

void add_explain_command(command& program) {
  auto v = std::make_shared<operate_variables>();
  auto c = program.sub("explain", "Tell a message's life: who had it, under which fence, how it ended.");
  c.argument("MESSAGE", v->message, "Its id, m...-...");
  add_hub_options(c, v->hub);
  c.flag("--json", v->json, "As the hub says it.").examples("  sallyport explain m1790000000000-17").runs([v] {
    return explain(*v);
  });
}

void add_dead_commands(command& program) {
  auto v = std::make_shared<operate_variables>();
  auto family = program.sub("dead", "List dead letters, or give them another chance.");
  auto list = family.sub("list", "List a queue's dead letters, the oldest first.");
  add_queue_arguments(list, *v);
  add_hub_options(list, v->hub);
  list.option("--limit N", v->limit, "How many.", 1, 1'000'000)
    .flag("--peek", v->peek, "Show the events too.")
    .flag("--json", v->json, "As the hub says it, one page per line.")
    .examples("  sallyport dead list plant-7 erp-db")
    .runs([v] { return list_dead(*v); });
  auto again =
    family.sub("redrive", "Put dead letters back in their queue, at their old place and with all attempts before them.");
  add_queue_arguments(again, *v);
  again.arguments("MESSAGE", v->messages, "Which; or --all.");
  add_hub_options(again, v->hub);
  again.flag("--all", v->all, "Every dead letter of the queue.")
    .examples("  sallyport dead redrive plant-7 erp-db m1790000000000-17\n"
              "  sallyport dead redrive plant-7 erp-db --all")
    .runs([v] { return redrive(*v); });
}

void add_pause_commands(command& program) {
  for (const bool paused : {true, false}) {
    auto v = std::make_shared<operate_variables>();
    auto c = paused ? program.sub("pause", "Keep a queue's messages until it is resumed; what is granted goes on.")
                    : program.sub("resume", "Let a paused queue go on.");
    add_queue_arguments(c, *v);
    add_hub_options(c, v->hub);
    c.examples(paused ? "  sallyport pause plant-7 erp-db" : "  sallyport resume plant-7 erp-db").runs([v, paused] {
      return set_paused(*v, paused);
    });
  }
}

} // namespace sallyport::cli

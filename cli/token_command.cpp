#include "cli/commands.hpp"
#include "cli/report.hpp"
#include "config/tokens.hpp"

#include <chrono>
#include <cstdio>

namespace sallyport::cli {

namespace {

struct token_variables {
  std::string data, role, note, id;
  std::vector<std::string> groups;
};

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words)
    out += (out.empty() ? "" : ",") + word;
  return out;
}

exit_code make(const token_variables& v) {
  for (const auto& group : v.groups)
    if (group != "*" && !is_valid_name(group))
      return report("token new", exit_code::usage,
                    "\"" + group + "\" is not the name of a group; write a name, or '*' for every group");
  if (v.groups.empty())
    return report("token new", exit_code::usage, "say for which group: --group NAME, or --group '*' for every one");
  const auto now = std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
  const auto made = config::add_token(v.data, {*config::parse_role(v.role), v.groups, v.note}, now);
  if (!made)
    return report("token new", made.err());
  // The token alone on stdout, so that a script can take it.
  std::printf("%s\n", made->token.c_str());
  std::fprintf(stderr, "%s: %s for %s. This is the only time the token is shown; the hub keeps a hash of it.\n",
               made->entry.id.c_str(), v.role.c_str(), join(v.groups).c_str());
  return exit_code::ok;
}

exit_code list(const token_variables& v) {
  const auto file = config::token_file::load(config::token_path(v.data));
  if (!file)
    return report("token list", file.err());
  table out({"ID", "ROLE", "GROUPS", "MADE", "NOTE"});
  for (const auto& e : file->entries())
    out.add({e.id, std::string(config::to_string(e.grant.role)), join(e.grant.groups), to_rfc3339(e.created_at), e.grant.note});
  std::fputs(out.text().c_str(), stdout);
  return exit_code::ok;
}

exit_code revoke(const token_variables& v) {
  const auto gone = config::revoke_token(v.data, v.id);
  if (!gone)
    return report("token revoke", gone.err());
  std::printf("revoked %s (%s for %s)\n", gone->id.c_str(), std::string(config::to_string(gone->grant.role)).c_str(),
              join(gone->grant.groups).c_str());
  return exit_code::ok;
}

} // namespace

void add_token_commands(command& program) {
  auto v = std::make_shared<token_variables>();
  auto family = program.sub("token", "Make, list and revoke bearer tokens; works beside a running hub.");
  const std::string where = "The hub's data directory.";
  family.sub("new", "Make a token and print it, once.")
    .required_option("--data DIR", v->data, where)
    .choice("--role ROLE", v->role = "producer", {"producer", "agent", "admin"},
            "producer sends and calls, agent does the work, admin sees and operates (default: producer)")
    .option("--group NAME", v->groups, "The group it is for; may be repeated; '*' for every group.")
    .option("--note TEXT", v->note, "What it is for, to recognise it in the list.")
    .examples("  sallyport token new --data /var/lib/sallyport --role agent --group plant-7 > /etc/sallyport/token\n"
              "  sallyport token new --data /var/lib/sallyport --role admin --group '*' --note 'on call'")
    .runs([v] { return make(*v); });
  family.sub("list", "List tokens; only hashes are kept, so none is shown.")
    .required_option("--data DIR", v->data, where)
    .runs([v] { return list(*v); });
  family.sub("revoke", "Make a token worthless, within a second.")
    .required_option("--data DIR", v->data, where)
    .argument("ID", v->id, "As `token list` shows it: t-...")
    .runs([v] { return revoke(*v); });
}

} // namespace sallyport::cli

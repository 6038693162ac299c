#include "tests/integration/world.hpp"

#include "protocol/json.hpp"

#include <fmt/format.h>

#include <thread>

namespace sallyport::testing {

namespace {

std::string last_lines(const std::string& text, std::size_t bytes = 3'000) {
  return text.size() <= bytes ? text : "..." + text.substr(text.size() - bytes);
}

} // namespace

world::world(world_options options) : options_(std::move(options)) {
  if (options_.tls) {
    ca_.emplace(folder.path());
    auto token = [&](const std::string& role) {
      auto made = sallyport({"token", "new", "--data", folder / "hub", "--role", role, "--group", "plant"});
      if (made.code != 0)
        throw std::runtime_error("no token: " + made.err);
      return made.out.substr(0, made.out.find('\n'));
    };
    std::filesystem::create_directories(folder / "hub");
    token_ = token("admin");
    agent_token_ = token("agent");
  }
  start_hub();
}

std::string world::hub_url() const {
  return fmt::format("{}://localhost:{}", options_.tls ? "https" : "http", port_);
}

void world::start_hub() {
  std::string config =
    fmt::format("[hub]\ndata_dir = \"{}\"\nsession_ttl_ms = {}\n{}", folder / "hub", options_.session_ttl.count(), options_.hub);
  if (options_.tls) {
    const auto files = ca_->issue();
    config += fmt::format("[hub.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n", files.cert, files.key);
  }
  if (!options_.policy.empty())
    config += "[hub.policy]\n" + options_.policy;
  std::vector<std::string> argv{
    SALLYPORT_BINARY, "hub", "--config", folder.write("hub.toml", config), "--listen", fmt::format("127.0.0.1:{}", port_)};
  if (!options_.tls)
    argv.push_back("--dev");
  const auto life = std::to_string(++runs_);
  hub_ = std::make_unique<process>(process_options{argv, {}, folder / ("hub-out-" + life), folder / ("hub-log-" + life), {}, {}});
  const auto line = hub_->wait_for_line("://");
  if (!line)
    throw std::runtime_error("the hub did not start:\n" + hub_->err());
  port_ = static_cast<std::uint16_t>(std::stoi(line->substr(line->rfind(':') + 1)));
}

process& world::start_agent(const std::string& name, const std::string& connections, const std::string& more,
                            const std::string& tables) {
  const auto config =
    fmt::format("[agent]\ngroup = \"plant\"\nname = \"{0}\"\nstate_dir = \"{1}\"\nhubs = [\"{2}\"]\n"
                "token = \"env:AGENT_TOKEN\"\nreconnect_min_ms = 50\nreconnect_max_ms = 500\nprobe_interval_ms = 500\n"
                "{3}\n{4}{5}\n{6}",
                name, folder / ("state-" + name), hub_url(), more,
                ca_ ? fmt::format("[agent.tls]\nca_file = \"{}\"\n", ca_->ca_file()) : std::string{}, tables, connections);
  const auto life = std::to_string(++runs_);
  auto& p = agents_[name];
  p = nullptr; // The one before, if any, is gone first.
  p = std::make_unique<process>(process_options{{SALLYPORT_BINARY, "agent", "--config", folder.write(name + ".toml", config)},
                                                {"AGENT_TOKEN=" + agent_token_},
                                                folder / (name + "-out-" + life),
                                                folder / (name + "-log-" + life),
                                                {},
                                                {}});
  return *p;
}

bool world::is_live(const std::string& name) {
  for (auto& a : group().agents)
    if (a.name.value == name)
      return a.live;
  return false;
}

wire::group_view world::group() {
  const auto a = ask("GET", "/v1/groups/plant");
  auto v = wire::decode<wire::group_view>(a.body);
  return a.status == 200 && v.ok() ? *std::move(v) : wire::group_view{}; // Nobody has announced themselves yet.
}

io::client& world::client() {
  if (!client_) {
    io::transport_settings s;
    s.token = token_;
    s.tls.ca_file = ca_file();
    auto made = io::client::make(hub_url(), s);
    if (!made)
      throw std::runtime_error(to_string(made.err()));
    client_.emplace(*std::move(made));
  }
  return *client_;
}

answered world::ask(const std::string& method, const std::string& target, const std::string& body,
                    const std::string& content_type) {
  runtime::http_request r;
  r.method = method, r.target = target, r.body = body, r.content_type = content_type;
  auto reply = client().send(std::move(r));
  if (!reply)
    return {0, to_string(reply.err())};
  return {reply->status, std::move(reply->body)};
}

std::vector<message_id> world::enqueue(const std::string& connection, int from, int to, const std::string& prefix) {
  std::vector<message_id> ids;
  for (int begin = from; begin < to; begin += 100) {
    json_writer w;
    w.begin_array();
    for (int n = begin; n < std::min(to, begin + 100); ++n)
      w.begin_object()
        .field("specversion", "1.0")
        .field("id", prefix + std::to_string(n))
        .field("source", "/test")
        .field("type", "test")
        .key("data")
        .begin_object()
        .field("n", n)
        .end_object()
        .end_object();
    w.end_array();
    const auto body = w.take();
    answered a;
    if (!eventually(
          [&] {
            a =
              ask("POST", "/v1/groups/plant/connections/" + connection + "/messages", body, "application/cloudevents-batch+json");
            return a.status == 201;
          },
          std::chrono::seconds(30)))
      throw std::runtime_error("not enqueued: " + std::to_string(a.status) + " " + a.body);
    auto reply = wire::decode<wire::enqueue_reply>(a.body);
    for (auto& m : reply->messages)
      ids.push_back(m.message);
  }
  return ids;
}

bool world::drained(const std::string& name) {
  const auto a = ask("GET", "/v1/groups/plant/connections/" + name);
  if (a.status != 200)
    return false;
  const auto c = wire::decode<wire::connection_view>(a.body);
  return c.ok() && c->ready + c->delayed + c->behind_key + c->granted == 0;
}

std::string world::logs() const {
  std::string all = "hub: " + last_lines(hub_->err());
  for (auto& [name, p] : agents_)
    all += "\n" + name + ": " + last_lines(p->err());
  return all;
}

void world::wait_until(const std::string& what, const std::function<bool()>& holds, milliseconds bound) {
  ASSERT_TRUE(eventually(holds, bound)) << "waited for: " << what << "\n" << logs();
}

world::ran world::sallyport(std::vector<std::string> words) {
  words.insert(words.begin(), SALLYPORT_BINARY);
  const auto run = std::to_string(++runs_);
  process p{{words,
             {"SALLYPORT_HUB=" + hub_url(), "SALLYPORT_TOKEN=" + token_},
             folder / ("run-out-" + run),
             folder / ("run-err-" + run),
             {},
             {}}};
  auto end = p.wait();
  return {end && end->signal == 0 ? end->code : -1, p.out(), p.err()};
}

} // namespace sallyport::testing

// What a store gives back at the hub's start, damaged. The input edits the rows of a small hub that has seen everything: open sessions,
// held, lost, dead and finished messages. Whatever the edits: restore() says no, or the shard works on: every question gets one answer,
// every message is counted, and fences rise. The store's crc makes this unlikely; a hub that asserts at every start would be the end of it.
//
// An edit is an operation, a row, and its arguments; see edit().
#include "cloud/core/shard.hpp"
#include "cloud/store/memory.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace {

using namespace sallyport;
using namespace sallyport::cloud;
using namespace std::chrono_literals;
using row_map = std::map<std::string, std::string>;

const group_name plant{"plant"};
const connection_name erp{"erp"}, crm{"crm"};

/// A shard whose appends always succeed, and pretend time.
struct stage {
  shard core{shard_settings{}};
  instant now{mono_time{1'000s}, wall_time{1'800'000'000s}};
  std::map<std::uint64_t, answer> answers;
  std::map<message_id, fence_token> fences; // The latest that was seen of each message.
  batch changes;
  std::uint64_t asked = 0;

  void pump() {
    for (;;) {
      auto duties = core.take_duties();
      if (duties.empty())
        return;
      for (auto& d : duties) {
        if (auto* r = std::get_if<duty::reply>(&d)) {
          if (auto* claimed = std::get_if<wire::claim_reply>(&r->what))
            for (const auto& g : claimed->grants) {
              SALLYPORT_ASSERT(fences[g.message] <= g.fence); // Equal when a claim is repeated.
              fences[g.message] = g.fence;
            }
          SALLYPORT_ASSERT(answers.emplace(r->to.value, std::move(r->what)).second);
        } else if (auto* a = std::get_if<duty::append>(&d)) {
          const auto tail = a->tail + 1;
          std::move(a->changes.begin(), a->changes.end(), std::back_inserter(changes));
          core.appended({append_status::durable, tail, {}, false}, now);
        }
      }
    }
  }
  std::uint64_t submit(decltype(command::what) what) {
    const auto t = ++asked;
    core.submit(ticket{t}, {group_scope{true, {}}, 42, std::move(what)}, now);
    pump();
    return t;
  }
  template <class T>
  const T* ask_for(decltype(command::what) what) {
    const auto found = answers.find(submit(std::move(what)));
    return found == answers.end() ? nullptr : std::get_if<T>(&found->second);
  }
  void pass(milliseconds span) {
    now.mono += span, now.wall += span;
    core.tick(now);
    pump();
  }
  session_id open(const std::string& agent, std::uint64_t process) {
    ask::open o;
    o.body.group = plant, o.body.agent.value = agent, o.body.id.value = "id-" + agent, o.body.life = {process, 1};
    for (const auto& c : {erp, crm})
      o.body.connections.push_back({c, "null", wire::effect_promise::idempotent, "test://target", wire::reach::up, {}});
    const auto* opened = ask_for<wire::session_opened>(o);
    return opened ? opened->session : session_id{};
  }
  std::vector<wire::grant> claim(session_id s, std::uint64_t seq, std::uint32_t most) {
    ask::claim c{s, {}};
    c.body.lane.value = "lane", c.body.seq = seq, c.body.max_messages = most, c.body.max_bytes = 1 << 20;
    c.body.connections = {{erp, most}, {crm, most}};
    const auto* got = ask_for<wire::claim_reply>(c);
    return got ? got->grants : std::vector<wire::grant>{};
  }
  void settle(session_id s, const std::string& agent, std::vector<wire::settlement> items) {
    ask::settle what{s, {}};
    what.body.agent = agent_id{"id-" + agent}, what.body.items = std::move(items);
    submit(std::move(what));
  }
};

wire::settlement settlement(const wire::grant& g, wire::outcome_kind how, bool retryable = true) {
  wire::settlement s;
  s.message = g.message, s.fence = g.fence, s.outcome = how, s.retryable = retryable;
  if (how == wire::outcome_kind::done)
    s.result = "{\"rows\":1}";
  else if (how == wire::outcome_kind::failed)
    s.error = "no";
  return s;
}

event_item event(int n, const instant& now) {
  event_item item;
  auto& a = item.attributes;
  a.id = std::to_string(n), a.source = "/test", a.type = "t";
  if (n % 3 == 1)
    a.partition_key = n % 2 == 0 ? "even" : "odd";
  if (n % 7 == 5)
    a.not_before = now.wall + 1h;
  if (n % 7 == 6)
    a.expires_at = now.wall + 2h;
  item.bytes = std::make_shared<const std::string>("{\"id\":\"" + a.id + "\"}");
  item.content = content_digest(*item.bytes);
  return item;
}

/// The rows of a hub that has seen everything.
row_map lived_rows() {
  stage s;
  s.core.reopened({{1}, 0});
  s.core.started(s.now);
  for (const auto& c : {erp, crm})
    s.submit(ask::configure{plant, c, {}});
  for (int n = 0; n < 24; ++n)
    s.submit(ask::enqueue{plant, n % 4 == 3 ? crm : erp, {event(n, s.now)}});
  s.submit(ask::call{plant, erp, event(24, s.now), 60s, 0ms});
  const auto b = s.open("b", 1);
  (void)s.claim(b, 1, 3);
  const auto a = s.open("a", 1);
  for (int i = 0; i < 3; ++i) { // b is silent, and loses what it held.
    s.pass(5s);
    s.submit(ask::beat{a, {}});
  }
  const auto got = s.claim(a, 1, 9);
  using how = wire::outcome_kind;
  if (got.size() >= 6) {
    s.settle(a, "a",
             {settlement(got[0], how::done), settlement(got[1], how::failed), settlement(got[2], how::failed, false),
              settlement(got[3], how::release)});
    s.submit(ask::cancel{got[4].message});
  }
  (void)s.open("b", 2);
  row_map rows;
  for (const auto& c : s.changes) {
    if (c.where != tree::meta)
      continue;
    if (c.what == change::kind::put)
      rows[std::string{std::string_view{c.key}}] = c.bytes();
    else
      rows.erase(std::string{std::string_view{c.key}});
  }
  return rows;
}

void edit(row_map& rows, fuzz::bytes& in) {
  const auto what = in.byte() % 7;
  auto row = std::next(rows.begin(), in.byte() % static_cast<int>(rows.size()));
  auto& value = row->second;
  const auto at = [&] { return value.empty() ? 0 : in.two() % value.size(); };
  switch (what) {
    case 0: // A byte is another.
      if (const auto i = at(); i < value.size())
        value[i] = static_cast<char>(in.byte());
      break;
    case 1: // A bit is.
      if (const auto i = at(); i < value.size())
        value[i] = static_cast<char>(value[i] ^ 1 << in.byte() % 8);
      break;
    case 2: value.resize(at()); break;
    case 3: // Eight bytes are others: a time, a number, half of an id.
      if (const auto i = at(); i < value.size()) {
        const auto bytes = in.slice(8);
        value.replace(i, bytes.size(), bytes);
      }
      break;
    case 4: // A row says what another said.
      value = std::next(rows.begin(), in.byte() % static_cast<int>(rows.size()))->second;
      break;
    case 5: { // A row under another key.
      auto key = row->first;
      key.back() = static_cast<char>(in.byte());
      rows[key] = value;
      break;
    }
    default:
      if (rows.size() > 1)
        rows.erase(row);
  }
}

void work(stage& s, const row_map& rows) {
  std::set<message_id> messages;
  const auto number = [](std::string_view eight) {
    std::uint64_t n = 0;
    for (unsigned char c : eight)
      n = n << 8 | c;
    return n;
  };
  for (const auto& [key, value] : rows)
    if (key.front() == 'm')
      messages.insert({number(std::string_view{key}.substr(1, 8)), number(std::string_view{key}.substr(9))});
  const auto counted = s.core.counters();
  SALLYPORT_ASSERT(counted.messages_live + counted.messages_retained <= messages.size());
  const auto look = [&] {
    for (const auto& m : messages)
      s.submit(ask::view_message{m});
    s.submit(ask::view_groups{});
    for (const auto& c : {erp, crm}) {
      s.submit(ask::view_connection{plant, c});
      for (auto listed : {ask::listed::any, ask::listed::ready, ask::listed::delayed, ask::listed::granted, ask::listed::dead})
        s.submit(ask::list{plant, c, listed, {}, 100, true});
    }
  };
  look();
  s.pass(1s);
  const auto a = s.open("a", 9), b = s.open("c", 1);
  s.submit(ask::call{plant, erp, event(99, s.now), 60s, 30s});
  s.submit(ask::enqueue{plant, crm, {event(3, s.now), event(98, s.now)}});
  for (std::uint64_t seq = 1; seq < 6; ++seq) {
    const auto got = s.claim(a, seq, 4), others = s.claim(b, seq, 4);
    std::vector<wire::settlement> items;
    for (std::size_t i = 0; i < got.size(); ++i)
      items.push_back(settlement(got[i], static_cast<wire::outcome_kind>(i % 3), seq % 2 == 0));
    s.settle(a, "a", std::move(items));
    s.submit(ask::beat{a, {}});
    if (seq % 2 == 0)
      s.pass(11s); // b is silent.
    else
      s.submit(ask::beat{b, {}});
  }
  s.submit(ask::redrive{plant, erp, {}});
  if (!messages.empty())
    s.submit(ask::cancel{*messages.begin()});
  for (const auto step : {milliseconds{1s}, milliseconds{2min}, milliseconds{2h}, milliseconds{48h}})
    for (int i = 0; i < 3; ++i)
      s.pass(step);
  look();
  s.submit(ask::purge{plant, erp, true, true, true});
  s.submit(ask::close{a});
  s.pass(24h * 400);
  s.core.drain();
  s.pump();
  SALLYPORT_ASSERT(s.answers.size() == s.asked); // Every question was answered, and once.
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto lived = lived_rows();
  auto rows = lived;
  fuzz::bytes in{fuzz::as_text(data, size)};
  for (int i = 0; i < 8 && !in.empty(); ++i)
    edit(rows, in);
  stage s;
  s.now.mono += 1h, s.now.wall += 1min;
  s.core.reopened({{2}, 1000});
  for (const auto& [key, value] : rows)
    if (!s.core.restore(key, value)) {
      SALLYPORT_ASSERT(rows != lived);
      return 0;
    }
  s.core.started(s.now);
  work(s, rows);
  return 0;
}

#include "tests/crash/notebook.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace sallyport::crash {

using namespace cloud;

namespace {

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};
template <class... F>
overloaded(F...) -> overloaded<F...>;

std::string named(const std::vector<event_item>& items) {
  std::string text;
  for (auto& i : items)
    text += " " + i.attributes.id;
  return text;
}

/// The session a request was made under, if any.
session_id session_of(const command_body& what) {
  return std::visit(overloaded{[](const ask::beat& b) { return b.session; }, [](const ask::claim& b) { return b.session; },
                               [](const ask::settle& b) { return b.session; }, [](const ask::close& b) { return b.session; },
                               [](const auto&) { return session_id{}; }},
                    what);
}

void note_verdicts(judge::history& h, const exchange& x, const ask::settle& asked, const wire::settle_reply& reply,
                   judge::step_number step) {
  for (std::size_t i = 0; i < reply.items.size() && i < asked.body.items.size(); ++i) {
    auto& said = reply.items[i];
    judge::seen_verdict v;
    v.agent = x.who, v.message = said.message, v.fence = said.fence, v.sent = asked.body.items[i].outcome;
    v.scope = asked.body.items[i].scope, v.kind = said.kind, v.counted = said.outcome, v.state = said.state, v.step = step;
    h.verdicts.push_back(v);
    h.said_verdicts.push_back(std::move(v));
  }
}

void note_answer(notebook& book, const exchange& x, judge::step_number step) {
  auto& h = book.seen;
  const auto& a = *x.got;
  const auto* refused = std::get_if<error>(&a);
  if (const auto session = session_of(*x.asked); !session.is_none()) {
    using how = judge::said_to_session::how;
    const auto what = !refused                                  ? how::served
                      : refused->code == errc::session_expired  ? how::expired
                      : refused->code == errc::session_replaced ? how::replaced
                                                                : how::refused;
    // A settlement is judged by its fence, under whatever session it comes.
    if (!std::holds_alternative<ask::settle>(*x.asked))
      h.answers.push_back({session, what, x.at.wall, x.step, step});
  }
  if (auto* said = std::get_if<wire::enqueue_reply>(&a))
    for (auto& m : said->messages) {
      auto& e = h.events[m.id];
      if (!e.message)
        e.message = m.message;
      e.told.push_back(m.message);
    }
  if (auto* asked = std::get_if<ask::open>(x.asked.get()))
    if (auto* said = std::get_if<wire::session_opened>(&a)) {
      h.openings.push_back(
        {x.who, asked->body.life, said->session, asked->body.held, said->lost, x.at.wall, book.now.wall, step});
      book.highest_epoch = std::max(book.highest_epoch, said->epoch);
    }
  if (auto* asked = std::get_if<ask::claim>(x.asked.get()))
    if (auto* said = std::get_if<wire::claim_reply>(&a)) {
      judge::said_claim c{asked->session, asked->body.lane, asked->body.seq, {}, x.step, step};
      for (auto& g : said->grants) {
        c.grants.push_back({g.message, g.fence});
        h.grants.push_back({x.who, g.message, g.fence, step});
        book.highest_fence = std::max(book.highest_fence, g.fence);
      }
      h.claims.push_back(std::move(c));
    }
  if (auto* asked = std::get_if<ask::settle>(x.asked.get()))
    if (auto* said = std::get_if<wire::settle_reply>(&a))
      note_verdicts(h, x, *asked, *said, step);
  if (auto* said = std::get_if<wire::cancel_reply>(&a))
    for (auto& [id, e] : h.events)
      if (e.message == said->message)
        e.cancelled = true, e.cancel_said_never_ran = !said->may_have_run;
}

void note_asking(judge::history& h, const exchange& x) {
  if (auto* enqueue = std::get_if<ask::enqueue>(x.asked.get()))
    for (auto& item : enqueue->items) {
      auto& e = h.events[item.attributes.id];
      e.id = item.attributes.id, e.queue = enqueue->connection.value, e.key = item.attributes.partition_key, e.tried = true;
      e.not_before = item.attributes.not_before.value_or(wall_time{});
      e.expires_at = item.attributes.expires_at.value_or(wall_time::max());
    }
  if (auto* cancel = std::get_if<ask::cancel>(x.asked.get()))
    for (auto& [id, e] : h.events)
      e.cancel_asked = e.cancel_asked || e.message == cancel->message;
  if (auto* open = std::get_if<ask::open>(x.asked.get()))
    h.asked_openings.push_back({x.who, open->body.life, x.step, x.at.wall});
  if (auto* settle = std::get_if<ask::settle>(x.asked.get()))
    for (auto& item : settle->body.items)
      h.sent.push_back({x.who, item, x.step});
}

} // namespace

std::string describe(const command_body& what) {
  return std::visit(
    overloaded{[](const ask::enqueue& q) { return "enqueue " + q.connection.value + named(q.items); },
               [](const ask::open& o) { return fmt::format("open life {}.{}", o.body.life.process, o.body.life.opening); },
               [](const ask::beat& b) { return "beat " + to_string(b.session); },
               [](const ask::claim& c) {
                 return fmt::format("claim {} lane={} seq={}", to_string(c.session), c.body.lane.value, c.body.seq);
               },
               [](const ask::settle& s) {
                 std::string text = "settle " + to_string(s.session);
                 for (auto& i : s.body.items)
                   text += fmt::format(" {} {} {}", to_string(i.message), to_string(i.fence), wire::to_string(i.outcome));
                 return text;
               },
               [](const ask::close& c) { return "close " + to_string(c.session); },
               [](const ask::cancel& c) { return "cancel " + to_string(c.message); },
               [](const ask::redrive&) { return std::string{"redrive"}; },
               [](const ask::configure& c) { return "configure " + c.connection.value; },
               [](const ask::view_message& v) { return "view " + to_string(v.message); },
               [](const auto&) { return std::string{"ask"}; }},
    what);
}

std::string describe(const answer& what) {
  return std::visit(overloaded{[](const error& e) { return to_string(e); },
                               [](const wire::enqueue_reply& r) {
                                 std::string text = "stored";
                                 for (auto& m : r.messages)
                                   text += fmt::format(" {}{}", to_string(m.message), m.duplicate ? " (again)" : "");
                                 return text;
                               },
                               [](const wire::session_opened& o) { return "session " + to_string(o.session); },
                               [](const wire::claim_reply& c) {
                                 std::string text = "granted";
                                 for (auto& g : c.grants)
                                   text += fmt::format(" {} fence={}", to_string(g.message), to_string(g.fence));
                                 return text;
                               },
                               [](const wire::settle_reply& r) {
                                 std::string text = "verdicts";
                                 for (auto& v : r.items)
                                   text += fmt::format(" {} {}", wire::to_string(v.kind), v.state);
                                 return text;
                               },
                               [](const message_answer& m) { return m.view.id + " is " + m.view.state; },
                               [](const auto&) { return std::string{"done"}; }},
                    what);
}

witness::witness(hub& at, const instant& now, std::uint64_t seed, teller tell)
  : hub_(at),
    now_(now),
    entropy_(seed),
    tell_(std::move(tell)) {
  hub_.on_open = [this](opened_store s) {
    this->tell(fmt::format("hub opens, epoch {}", s.epoch.value), [epoch = s.epoch, step = step_](notebook& b) {
      b.highest_epoch = std::max(b.highest_epoch, epoch);
      b.seen.epochs.push_back({epoch, step, b.now.wall});
    });
  };
  hub_.on_answer = [this](ticket to, answer what) {
    auto node = waiting_.extract(to.value);
    if (node.empty())
      return tell_({"an answer was given twice, or to nobody",
                    [](notebook& b) { b.seen.violate("one_answer", "an answer was given twice, or to nobody"); }});
    auto& w = node.mapped();
    w.what.got = std::move(what);
    this->tell(w.what.who + ": " + describe(*w.what.asked) + " -> " + describe(*w.what.got),
               [x = w.what, index = w.index, step = step_](notebook& b) {
                 if (index < b.exchanges.size())
                   b.exchanges[index].got = x.got;
                 note_answer(b, x, step);
               });
    if (w.done)
      w.done(w.what);
  };
}

void witness::tell(std::string text, std::function<void(notebook&)> add) {
  ++step_;
  tell_({std::move(text), [add = std::move(add), now = now_](notebook& b) {
           b.now = now;
           add(b);
         }});
}

void witness::ask(const std::string& who, command_body what, listener done) {
  exchange x{who, std::make_shared<const command_body>(std::move(what)), now_, step_, {}};
  tell(who + ": " + describe(*x.asked), [x](notebook& b) {
    b.exchanges.push_back(x);
    note_asking(b.seen, x);
  });
  const auto index = asked_++;
  const auto to = hub_.submit(*x.asked, entropy_.roll());
  waiting_.emplace(to.value, waiting{std::move(x), index, std::move(done)});
}

std::optional<answer> witness::ask_and_wait(const std::string& who, command_body what) {
  std::optional<answer> got;
  ask(who, std::move(what), [&](const exchange& x) { got = x.got; });
  for (int i = 0; i < 20 && !got && hub_.is_up(); ++i) {
    hub_.turn();
    if (hub_.is_up())
      hub_.commit();
  }
  return got;
}

void witness::took_effect(const std::string& who, const wire::grant& g, const std::string& id) {
  judge::effect e{g.message, g.fence, id, who, step_};
  tell(fmt::format("{} carries out {} fence={}", who, id, to_string(g.fence)), [e](notebook& b) {
    b.seen.started.push_back(e);
    auto& done = b.seen.committed;
    // Its target keeps an inbox.
    if (std::none_of(done.begin(), done.end(), [&](const judge::effect& d) { return d.id == e.id; }))
      done.push_back(e);
  });
}

void witness::time_passes(milliseconds how_much) {
  tell(fmt::format("tick {} ms", how_much.count()), [](notebook&) {});
}

void witness::found_cancelled(message_id m) {
  tell(to_string(m) + " was cancelled", [m](notebook& b) {
    for (auto& [id, e] : b.seen.events)
      if (e.message == m)
        e.cancelled = true;
  });
}

} // namespace sallyport::crash

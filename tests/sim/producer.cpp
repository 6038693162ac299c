#include "tests/sim/producer.hpp"

#include "protocol/time.hpp"

#include <fmt/format.h>

namespace sallyport::sim {

using namespace cloud;
using judge::call_end;

namespace {
const group_name plant{"plant"};
const connection_name erp{"erp"};
constexpr milliseconds patience{3'000};
} // namespace

void producer::plan(std::size_t count, bool keyed, bool calls) {
  for (std::size_t i = 0; i < count; ++i) {
    judge::sent_event e;
    e.id = fmt::format("e{}", i), e.queue = erp.value;
    if (keyed && !stage_.one_in(3))
      e.key = fmt::format("k{}", stage_.below(3));
    e.call = calls && stage_.one_in(6);
    if (stage_.one_in(12))
      e.not_before = stage_.now().wall + stage_.between(0, 40'000);
    if (!e.call && stage_.one_in(25))
      e.expires_at = stage_.now().wall + stage_.between(1'000, 60'000);
    order_.push_back(e.id);
    history_.events.emplace(e.id, std::move(e));
  }
}

event_item producer::item(const judge::sent_event& e) const {
  auto text = fmt::format(R"({{"specversion":"1.0","id":"{}","source":"/sim","type":"sim")", e.id);
  if (!e.key.empty())
    text += fmt::format(R"(,"partitionkey":"{}")", e.key);
  if (e.not_before != wall_time{})
    text += fmt::format(R"(,"notbefore":"{}")", to_rfc3339(e.not_before));
  if (e.expires_at != wall_time::max())
    text += fmt::format(R"(,"expirytime":"{}")", to_rfc3339(e.expires_at));
  text += '}';
  auto parsed = parse_event(text, {});
  SALLYPORT_ASSERT(parsed.ok());
  event_item i;
  i.attributes = std::move(parsed->attributes);
  i.bytes = std::make_shared<const std::string>(std::move(text));
  i.content = content_digest(*i.bytes);
  return i;
}

void producer::next() {
  if (from_ >= order_.size())
    return;
  if (history_.events.at(order_[from_]).call) {
    call(order_[from_], stage_.between(500, 30'000));
    ++from_;
    return stage_.after(stage_.between(0, 400), [this] { next(); });
  }
  const auto begin = from_ != 0 && stage_.one_in(8) ? from_ - 1 - stage_.below(std::min<std::size_t>(from_, 4)) : from_;
  auto end = from_ + 1;
  while (end < order_.size() && end < from_ + 5 && !stage_.one_in(4) && !history_.events.at(order_[end]).call)
    ++end;
  send(begin, end);
}

void producer::acknowledge(const std::string& id, message_id m) {
  auto& e = history_.events.at(id);
  if (!e.message)
    e.message = m;
  e.told.push_back(m);
}

void producer::send(std::size_t begin, std::size_t end) {
  ask::enqueue q{plant, erp, {}};
  for (auto i = begin; i < end; ++i) {
    auto& e = history_.events.at(order_[i]);
    if (e.call)
      continue; // Repeated by those who call.
    e.tried = true;
    q.items.push_back(item(e));
  }
  net.send(std::move(q), patience, [this, begin, end](std::optional<answer> a) {
    auto* reply = a ? std::get_if<wire::enqueue_reply>(&*a) : nullptr;
    if (!reply) // The same again, until it is acknowledged.
      return stage_.after(stage_.between(10, 500), [this, begin, end] { send(begin, end); });
    for (auto& m : reply->messages)
      acknowledge(m.id, m.message);
    from_ = std::max(from_, end);
    if (!reply->messages.empty() && stage_.one_in(15))
      cancel(reply->messages[stage_.below(reply->messages.size())]);
    stage_.after(stage_.between(0, 400), [this] { next(); });
  });
}

void producer::cancel(const wire::enqueued_item& m) {
  history_.events.at(m.id).cancel_asked = true;
  net.send(ask::cancel{m.message}, patience, [this, id = m.id](std::optional<answer> a) {
    if (auto* reply = a ? std::get_if<wire::cancel_reply>(&*a) : nullptr) {
      auto& e = history_.events.at(id);
      e.cancelled = true;
      e.cancel_said_never_ran = !reply->may_have_run;
      stage_.say(fmt::format("{} cancelled, {}", id, reply->may_have_run ? "may have run" : "never ran"));
    }
  });
}

void producer::call(const std::string& id, milliseconds deadline) {
  auto& e = history_.events.at(id);
  e.tried = true;
  ++calling_;
  const auto wait = stage_.between(0, deadline.count());
  net.send(ask::call{plant, erp, item(e), deadline, wait}, wait + patience, [this, id, deadline](std::optional<answer> a) {
    --calling_;
    auto& e = history_.events.at(id);
    auto end = call_end::unanswered;
    if (a) {
      if (auto* reply = std::get_if<wire::call_reply>(&*a))
        acknowledge(id, reply->message), end = call_end::result;
      else if (auto* other = std::get_if<call_answer>(&*a))
        acknowledge(id, other->reply.message), end = call_end::result;
      else if (auto* pending = std::get_if<call_pending>(&*a))
        acknowledge(id, pending->message), end = call_end::pending;
      else if (auto* bad = std::get_if<error>(&*a))
        end = bad->code == errc::adapter_failed         ? call_end::failed
              : bad->code == errc::call_not_started     ? call_end::not_started
              : bad->code == errc::call_outcome_unknown ? call_end::unknown
                                                        : call_end::unanswered;
    }
    constexpr const char* words[] = {"not answered", "a result", "failed", "pending", "not_started", "unknown"};
    stage_.say(fmt::format("the call {} is answered: {}", id, words[static_cast<int>(end)]));
    e.call_ends.push_back(end);
    // Whoever was told an end asks again now and then, and must hear the same; whoever was not gives up at some time.
    const bool ended = end == call_end::result || end == call_end::failed || end == call_end::not_started;
    if (ended ? stage_.one_in(6) : !healthy && !stage_.one_in(6))
      stage_.after(stage_.between(10, 2'000), [this, id, deadline] { call(id, deadline); });
  });
}

} // namespace sallyport::sim

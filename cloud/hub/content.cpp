#include "cloud/hub/content.hpp"

#include "cloud/core/content_keys.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace sallyport::cloud {

bool lacks_content(const answer& what) {
  if (const auto* claim = std::get_if<wire::claim_reply>(&what))
    return std::any_of(claim->grants.begin(), claim->grants.end(), [](const wire::grant& g) { return !g.event; });
  if (const auto* message = std::get_if<message_answer>(&what))
    return message->fetch_result;
  if (std::holds_alternative<call_answer>(what))
    return true;
  if (const auto* page = std::get_if<page_answer>(&what))
    return page->fetch_events;
  return false;
}

std::vector<ask::bury> fetch_content(answer& what, store_port& store) {
  std::vector<ask::bury> unreadable;
  error fault;
  auto fetch = [&](std::string_view key) -> wire::shared_bytes {
    auto got = store.fetch(key);
    if (got)
      return *std::move(got);
    fault = got.err();
    spdlog::error("event=fetch_failed error=\"{}\"", to_string(fault));
    return nullptr;
  };
  if (auto* claim = std::get_if<wire::claim_reply>(&what)) {
    for (auto& g : claim->grants) {
      if (g.event)
        continue;
      g.event = fetch(event_key(g.message));
      if (!g.event && fault.code == errc::store_damaged) {
        // It would come back for ever, and take its neighbours with it each time: a person must see it.
        unreadable.push_back({g.message, g.fence, "its event cannot be read from the store: " + std::exchange(fault, {}).detail});
      }
    }
    // A grant repeated for a lost answer may have been settled since, and its event deleted. The agent never sees it; if it was not
    // settled, the hub learns from the agent's list that it is not held, and takes it back.
    std::erase_if(claim->grants, [](const wire::grant& g) { return !g.event; });
  } else if (auto* message = std::get_if<message_answer>(&what)) {
    if (auto bytes = fetch(result_key(message->view.message)))
      message->view.result = *bytes;
  } else if (auto* call = std::get_if<call_answer>(&what)) {
    auto reply = std::move(call->reply);
    if (auto bytes = fetch(result_key(reply.message)))
      reply.result = *bytes;
    what = std::move(reply);
  } else if (auto* page = std::get_if<page_answer>(&what)) {
    for (auto& line : page->page.messages)
      if (auto bytes = fetch(event_key(line.message)))
        line.event = *bytes;
    if (fault.code == errc::store_damaged)
      fault = {}; // The lines that can be read are worth showing; the others have no event.
  }
  if (!fault.detail.empty())
    what = make_error(errc::internal, "content could not be read from the store; ask again");
  return unreadable;
}

} // namespace sallyport::cloud

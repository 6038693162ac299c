#include "cloud/hub/content.hpp"

#include "cloud/core/content_keys.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace sallyport::cloud {

bool lacks_content(const answer& what) {
  if (const auto* claim = std::get_if<wire::claim_reply>(&what))
    return std::any_of(claim->grants.begin(), claim->grants.end(), [](const wire::grant& g) { return !g.event; });
  if (const auto* message = std::get_if<message_answer>(&what))
    return message->fetch_result;
  if (const auto* page = std::get_if<page_answer>(&what))
    return page->fetch_events;
  return false;
}

void fetch_content(answer& what, store_port& store) {
  error fault;
  auto fetch = [&](const std::string& key) -> wire::shared_bytes {
    auto got = store.fetch(key);
    if (got)
      return *std::move(got);
    fault = got.err();
    return nullptr;
  };
  if (auto* claim = std::get_if<wire::claim_reply>(&what)) {
    for (auto& g : claim->grants)
      if (!g.event)
        g.event = fetch(event_key(g.message));
    // A grant repeated for a lost answer may have been settled since, and its event deleted. The agent never sees it; if it was not
    // settled, the hub learns from the agent's list that it is not held, and takes it back.
    std::erase_if(claim->grants, [](const wire::grant& g) { return !g.event; });
  } else if (auto* message = std::get_if<message_answer>(&what)) {
    if (auto bytes = fetch(result_key(message->view.message)))
      message->view.result = *bytes;
  } else if (auto* page = std::get_if<page_answer>(&what)) {
    for (auto& line : page->page.messages)
      if (auto bytes = fetch(event_key(line.message)))
        line.event = *bytes;
  }
  if (!fault.detail.empty()) {
    spdlog::error("event=fetch_failed error=\"{}\"", to_string(fault));
    what = make_error(errc::internal, "content could not be read from the store; ask again");
  }
}

} // namespace sallyport::cloud

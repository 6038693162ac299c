#include "bench/micro/samples.hpp"

namespace sallyport::bench {

namespace {

constexpr std::uint64_t epoch = 1'769'860'800'000;

} // namespace

std::string event_of_1_kib(std::size_t n, bool is_row) {
  auto event = R"({"specversion":"1.0","id":"order-)" + std::to_string(100'000 + n)
               + R"(","source":"/shops/berlin/7","type":"com.example.order.placed","time":"2026-01-31T12:00:00.123Z",)"
                 R"("datacontenttype":"application/json","data":{)";
  if (is_row)
    for (int i = 0; event.size() < 990; ++i)
      event += "\"column" + std::to_string(i) + "\":" + (i % 3 == 0 ? "\"Größe XL\"" : i % 3 == 1 ? "1234.50" : "true") + ",";
  event += R"("text":")";
  while (event.size() < 1021)
    event += static_cast<char>('a' + event.size() % 26);
  return event + "\"}}";
}

std::string batch_body(bool is_row) {
  std::string body = "[";
  for (std::size_t i = 0; i < batch_events; ++i)
    body.append(i == 0 ? "" : ",").append(event_of_1_kib(i, is_row));
  return body + "]";
}

wire::claim_reply claim_reply_of_256(bool is_row) {
  wire::claim_reply reply;
  reply.grants.reserve(batch_events);
  for (std::uint64_t i = 0; i < batch_events; ++i) {
    auto& g = reply.grants.emplace_back();
    g.message = {epoch, 1'000'000 + i}, g.fence = {epoch, 2'000'000 + i}, g.connection = {"erp-db"};
    g.attempt_timeout = std::chrono::seconds{60};
    g.event = std::make_shared<const std::string>(event_of_1_kib(i, is_row));
  }
  return reply;
}

std::vector<wire::settlement> settlements_of(const wire::claim_reply& claimed) {
  std::vector<wire::settlement> items(claimed.grants.size());
  for (std::size_t i = 0; i < items.size(); ++i)
    items[i].message = claimed.grants[i].message, items[i].fence = claimed.grants[i].fence;
  return items;
}

wire::settle_reply verdicts_of(const std::vector<wire::settlement>& items) {
  wire::settle_reply reply;
  reply.items.reserve(items.size());
  for (const auto& item : items)
    reply.items.push_back(
      {item.message, item.fence, wire::verdict_kind::settled, "settled", wire::outcome_kind::done, std::nullopt});
  return reply;
}

wire::enqueue_reply enqueue_reply_of_256() {
  wire::enqueue_reply reply;
  for (std::uint64_t i = 0; i < batch_events; ++i)
    reply.messages.push_back({{epoch, 1'000'000 + i}, "/shops/berlin/7", "order-" + std::to_string(100'000 + i), false});
  return reply;
}

} // namespace sallyport::bench

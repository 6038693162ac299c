#include "tests/support/http_target.hpp"

namespace sallyport::testing {

http_target::http_target(handler answer, const tls_server_options& options)
  : answer_(std::move(answer)),
    server_(options, [this](peer& p) { serve(p); }) {}

void http_target::serve(peer& p) {
  while (auto request = p.read_request()) {
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(*request);
    }
    const auto answer = answer_(*request);
    const auto type = answer.fields.find("Content-Type:") == std::string::npos ? "Content-Type: application/json\r\n" : "";
    if (!p.write("HTTP/1.1 " + std::to_string(answer.status) + " Said\r\n" + type + answer.fields
                 + "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n" + answer.body))
      return;
  }
}

std::vector<seen_request> http_target::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t http_target::keys() const {
  std::lock_guard lock(mutex_);
  std::set<std::string> keys;
  for (const auto& r : requests_)
    keys.insert(r.field("Idempotency-Key"));
  return keys.size();
}

} // namespace sallyport::testing

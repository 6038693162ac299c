// What the transport's tests share: a request in flight whose answer is waited for with a bound.
#pragma once

#include "runtime/io/https_transport.hpp"
#include "tests/support/tls_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

namespace sallyport::io {

using runtime::http_reply;
using runtime::http_request;
using runtime::transport;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::peer;
using testing::tls_server;

/// A request that has been sent, and its answer to come.
class question {
public:
  question(transport& to, http_request request) : answer_(promise_->get_future()) {
    to.send(std::move(request), [p = promise_](result<http_reply> r) { p->set_value(std::move(r)); });
  }
  [[nodiscard]] bool answered() const { return answer_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  result<http_reply> get() {
    if (answer_.wait_for(std::chrono::seconds(40)) != std::future_status::ready)
      return make_error(errc::internal, "the transport never answered");
    return answer_.get();
  }

private:
  std::shared_ptr<std::promise<result<http_reply>>> promise_ = std::make_shared<std::promise<result<http_reply>>>();
  std::future<result<http_reply>> answer_;
};

inline result<http_reply> ask(transport& to, http_request request) {
  return question(to, std::move(request)).get();
}

inline http_request post(std::string target, std::string body = "{}", std::uint32_t slot = 0) {
  http_request r;
  r.target = std::move(target);
  r.body = std::move(body);
  r.slot = slot;
  r.timeout = std::chrono::seconds(20);
  return r;
}

inline std::shared_ptr<transport> connect(const std::string& url, const transport_settings& settings = {}) {
  auto factory = make_https_transport_factory(settings);
  if (!factory)
    throw std::runtime_error(to_string(factory.err()));
  auto made = (*factory)(url);
  if (!made)
    throw std::runtime_error(to_string(made.err()));
  return *made;
}

/// Answers every request of every connection with 200 and the number of the connection.
inline void answer_all(peer& p) {
  while (p.read_request())
    p.write(testing::http_ok("{\"connection\":" + std::to_string(p.number()) + "}"));
}

inline void expect_error(const result<http_reply>& reply, errc wanted) {
  ASSERT_FALSE(reply.ok()) << "answered " << reply->status << " " << reply->body.substr(0, 200);
  EXPECT_EQ(to_string(reply.err().code), to_string(wanted)) << reply.err().detail;
}
#define EXPECT_ERROR(reply, wanted) ASSERT_NO_FATAL_FAILURE(expect_error(reply, wanted))

} // namespace sallyport::io

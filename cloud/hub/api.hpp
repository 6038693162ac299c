// The hub's HTTP API without sockets: a request in, a response out. The socket server and the in-process hub of runtime/testing use the
// same one.
//
//   admit(head) ──▶ refusal (no such path, wrong method, token, role, group, content type)
//               └─▶ admission ── run(admission, body, completion) ──▶ shard host ──▶ response
//
// Nothing is decided here about messages: a body becomes a command, an answer becomes a response. Any thread; keeps no state of requests
// but what the host holds for them.
#pragma once

#include "cloud/hub/metrics.hpp"
#include "cloud/hub/routes.hpp"
#include "cloud/hub/shard_host.hpp"
#include "cloud/hub/tokens_watch.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sallyport::cloud {

struct api_settings {
  event_limits event;
  std::size_t body_bytes = 16 << 20;
  bool create_on_enqueue = false; // --dev: connections are made on first use.
  bool announce = true;
  milliseconds call_wait{30'000}; // Without a Prefer header.
  milliseconds call_wait_max{300'000};
};

struct api_response {
  int status = 200;
  std::string content_type;
  std::string body;
  std::vector<std::pair<std::string_view, std::string>> headers; // Names are literals.
};

/// What a request says before its body. Views; an empty one was not sent.
struct request_head {
  std::string_view method, target, authorization, content_type, prefer, content_encoding, accept;
};

/// A request whose head is in order.
struct admission {
  const route* via = nullptr;
  group_scope scope;
  group_name group;
  connection_name connection;
  message_id message;
  session_id session;
  std::vector<std::pair<std::string, std::string>> query;
  bool batch = false;        // Of events.
  bool json = false;         // The content type said so.
  bool framed = false;       // The body is in frames.
  bool takes_frames = false; // And so may the answer be.
  std::optional<milliseconds> prefer_wait;
  std::size_t body_limit = 0;
  std::chrono::steady_clock::time_point began{};
};

class api {
public:
  /// Called exactly once, on an unspecified thread, perhaps before run() has returned.
  using completion = std::function<void(api_response)>;

  api(const api_settings& settings, shard_host& host, tokens_watch& tokens, metrics& meter);

  [[nodiscard]] std::variant<admission, api_response> admit(const request_head& head);

  /// The ticket serves cancel(); none when the answer has been given already.
  ticket run(admission request, std::string body, completion done);

  /// The asker is gone. For claims and calls: taken back, and the completion is not called unless it is on its way.
  void cancel(ticket running) { host_.forget(running); }

  /// Both in one, for callers that have the whole request.
  ticket handle(const request_head& head, std::string body, completion done);

  /// How long a claim or call may be parked at most, so that whoever waits for the completion can set an end.
  [[nodiscard]] milliseconds longest_wait() const;

private:
  ticket look_at_metrics(completion done);

  const api_settings settings_;
  shard_host& host_;
  tokens_watch& tokens_;
  metrics& meter_;
};

/// The response an error is: problem+json with its status, and the headers that go with it.
[[nodiscard]] api_response to_response(const error& e);
/// The response to an answer of the shard; grants and verdicts in frames to those who take them.
[[nodiscard]] api_response to_response(const answer& what, bool takes_frames = false);

} // namespace sallyport::cloud

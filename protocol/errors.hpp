// The one list of errors. A code is added only when some caller would act differently on it; numbers are never reused.
// The text name is the stable `code` of the wire (RFC 9457 problem+json), of logs and of metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sallyport {

/// What a caller should do with a failed request.
enum class advice : std::uint8_t {
  never_retry, // The same request will fail again: change it.
  retry_later, // Nothing was done; the same request may pass later.
  ask_first,   // It may have been carried out: ask again with the same key and get the first answer.
};

// X(name, number, HTTP status, advice, sentence)
#define SALLYPORT_ERRORS(X)                                                                                                      \
  /* Requests that cannot be understood. */                                                                                      \
  X(malformed_http, 1, 400, never_retry, "the HTTP request is not well-formed or its framing is in doubt")                       \
  X(malformed_json, 2, 400, never_retry, "the body is not valid JSON")                                                           \
  X(invalid_utf8, 3, 400, never_retry, "the body is not valid UTF-8")                                                            \
  X(duplicate_key, 4, 400, never_retry, "an object has the same key twice")                                                      \
  X(missing_attribute, 5, 400, never_retry, "the event lacks a required attribute")                                              \
  X(invalid_attribute, 6, 400, never_retry, "an attribute of the event has a value that is not allowed")                         \
  X(invalid_request, 7, 400, never_retry, "a field of the request is missing or has a value that is not allowed")                \
  X(unsupported_media_type, 8, 415, never_retry, "the content type is not one this operation accepts")                           \
  X(not_found, 9, 404, never_retry, "there is no such path")                                                                     \
  X(method_not_allowed, 10, 405, never_retry, "the path exists but not with this method")                                        \
  X(body_too_large, 11, 413, never_retry, "the body is larger than the limit")                                                   \
  X(event_too_large, 12, 413, never_retry, "an event is larger than the limit")                                                  \
  X(header_too_large, 13, 431, never_retry, "the request head is larger than the limit")                                         \
  X(too_many_events, 14, 413, never_retry, "the batch has more events than the limit")                                           \
  X(request_timeout, 15, 408, retry_later, "the request did not arrive in time")                                                 \
  X(length_required, 16, 411, never_retry, "the request must state its length or use chunked transfer")                          \
  /* Who asks. */                                                                                                                \
  X(token_required, 20, 401, never_retry, "this operation needs a bearer token")                                                 \
  X(bad_token, 21, 401, never_retry, "the bearer token is not known")                                                            \
  X(wrong_role, 22, 403, never_retry, "the token's role does not allow this operation")                                          \
  X(wrong_group, 23, 403, never_retry, "the token is for another group")                                                         \
  /* What is asked for. */                                                                                                       \
  X(unknown_group, 30, 404, never_retry, "there is no such group")                                                               \
  X(unknown_connection, 31, 404, never_retry, "the group has no such connection")                                                \
  X(unknown_message, 32, 404, never_retry, "there is no such message, or its retention has ended")                               \
  X(id_reused, 33, 409, never_retry, "an event of the same source and id but other content was sent before")                     \
  X(not_dead, 34, 409, never_retry, "the message is not a dead letter")                                                          \
  X(already_final, 35, 409, never_retry, "the message has reached its final state")                                              \
  X(announce_refused, 36, 403, never_retry, "this hub does not let agents create connections")                                   \
  X(fingerprint_mismatch, 37, 409, never_retry, "the agent's connection points at another target than its peers'")               \
  /* Sessions, claims, settlements. */                                                                                           \
  X(unknown_session, 40, 404, never_retry, "there is no such session")                                                           \
  X(session_expired, 41, 410, never_retry, "the session has ended; open a new one")                                              \
  X(session_replaced, 42, 409, never_retry, "a newer process of this agent has opened a session")                                \
  X(name_in_use, 43, 409, retry_later, "another agent holds this name until its session's time to live has passed")              \
  X(claim_seq_stale, 44, 409, never_retry, "the lane has already claimed with a higher sequence number")                         \
  X(too_many_lanes, 45, 409, never_retry, "the session has the most lanes it may have")                                          \
  X(stale_fence, 46, 409, never_retry, "the message has moved to a newer fence")                                                 \
  X(burnt_fence, 47, 409, never_retry, "the message was taken from this holder; its fence counts no more")                       \
  X(unknown_fence, 48, 404, never_retry, "no such grant is known")                                                               \
  X(not_holder, 49, 403, never_retry, "the message was granted to another agent")                                                \
  /* Calls. */                                                                                                                   \
  X(no_agent_up, 60, 503, retry_later, "no agent of the group reaches this connection; nothing was stored")                      \
  X(call_not_started, 61, 504, never_retry, "the call ran out of time before any agent began it; it never will run")             \
  X(call_outcome_unknown, 62, 504, ask_first, "the call ran out of time after an agent may have begun it")                       \
  X(adapter_failed, 63, 502, never_retry, "the local system or its adapter refused the call")                                    \
  /* Capacity and faults of the hub. */                                                                                          \
  X(too_many_requests, 80, 429, retry_later, "the hub has more work waiting than it accepts; nothing was stored")                \
  X(queue_full, 81, 429, retry_later, "the queue has as many messages as it may; nothing was stored")                            \
  X(store_full, 82, 507, retry_later, "the hub's disk or store is full; nothing was stored")                                     \
  X(outcome_unknown, 83, 503, ask_first, "the request may have been carried out")                                                \
  X(shutting_down, 84, 503, retry_later, "the hub is stopping; nothing was stored")                                              \
  X(not_ready, 85, 503, retry_later, "the hub is still reading its store")                                                       \
  X(internal, 86, 500, ask_first, "the hub failed to answer")                                                                    \
  /* Store (never on the wire by themselves). */                                                                                 \
  X(store_locked, 100, 500, never_retry, "another process has the data directory open")                                          \
  X(store_damaged, 101, 500, never_retry, "the store is damaged")                                                                \
  X(store_newer, 102, 500, never_retry, "the store was written by a newer version")                                              \
  X(store_io, 103, 500, never_retry, "the store could not be read or written")                                                   \
  /* Agent and command line (never answered by a hub). */                                                                        \
  X(unreachable, 120, 503, retry_later, "the peer could not be reached")                                                         \
  X(tls_refused, 121, 502, never_retry, "the peer's certificate was not accepted")                                               \
  X(proxy_refused, 122, 502, retry_later, "the proxy refused the connection")                                                    \
  X(timed_out, 123, 504, ask_first, "no answer came in time")                                                                    \
  X(protocol_violation, 124, 502, never_retry, "the peer's answer could not be understood")                                      \
  X(invalid_config, 125, 400, never_retry, "the configuration is not usable")                                                    \
  X(state_locked, 126, 409, never_retry, "another process uses this state directory")                                            \
  X(state_io, 127, 500, never_retry, "the state directory could not be read or written")                                         \
  X(stopped, 128, 503, retry_later, "the component has been stopped")                                                            \
  X(retries_exhausted, 129, 500, never_retry, "a component failed more often than its restart budget allows")                    \
  X(cannot_listen, 130, 500, retry_later, "the address could not be listened on")

enum class errc : std::uint16_t {
#define SALLYPORT_X(name, number, status, adv, sentence) name = number,
  SALLYPORT_ERRORS(SALLYPORT_X)
#undef SALLYPORT_X
};

/// The stable text code, e.g. "stale_fence".
[[nodiscard]] std::string_view to_string(errc code) noexcept;
[[nodiscard]] std::optional<errc> parse_errc(std::string_view text) noexcept;
[[nodiscard]] int http_status(errc code) noexcept;
[[nodiscard]] advice retry_advice(errc code) noexcept;
/// One sentence without subject or full stop, to be followed by what was tried and on what.
[[nodiscard]] std::string_view sentence(errc code) noexcept;

/// A failed attempt: the code says what kind, the detail what was tried on what and what to do about it.
struct error {
  errc code = errc::internal;
  std::string detail;
  /// Where a list was judged: the index of the item at fault.
  std::optional<std::size_t> index;
  /// When to try again, where the answerer knows. Seconds, as in the Retry-After header.
  std::optional<unsigned> retry_after_s;

  friend bool operator==(const error&, const error&) = default;
};

[[nodiscard]] inline error make_error(errc code, std::string detail) {
  return {code, std::move(detail), std::nullopt, std::nullopt};
}

/// "stale_fence: the message has moved to a newer fence: <detail>", for logs and terminals.
[[nodiscard]] std::string to_string(const error& e);

} // namespace sallyport

// Answers of the shard as responses of the wire.
#include "cloud/hub/api.hpp"

#include "protocol/codec.hpp"
#include "protocol/frames.hpp"

namespace sallyport::cloud {

namespace {

api_response json(int status, std::string body) {
  return {status, "application/json", std::move(body), {}};
}

struct responder {
  bool takes_frames = false;

  api_response operator()(const error& e) const { return to_response(e); }
  api_response operator()(const wire::enqueue_reply& v) const { return json(201, encode(v)); }
  api_response operator()(const wire::call_reply& v) const { return json(200, encode(v)); }
  api_response operator()(const call_answer& v) const { return json(200, encode(v.reply)); }
  api_response operator()(const call_pending& v) const {
    // The same shape as a call's reply: what is known so far is the message.
    auto r = json(202, encode(wire::call_reply{v.message, {}}));
    r.headers.emplace_back("Location", "/v1/messages/" + to_string(v.message));
    return r;
  }
  api_response operator()(const wire::session_opened& v) const {
    auto r = json(201, encode(v));
    r.headers.emplace_back("Location", "/v1/sessions/" + to_string(v.session));
    return r;
  }
  api_response operator()(const message_answer& v) const { return json(200, encode(v.view)); }
  api_response operator()(const page_answer& v) const { return json(200, encode(v.page)); }
  api_response operator()(const configured& v) const { return json(v.created ? 201 : 200, encode(v.view)); }
  api_response operator()(const wire::claim_reply& v) const { return json_or_frames(v); }
  api_response operator()(const wire::settle_reply& v) const { return json_or_frames(v); }
  template <class Reply>
  api_response json_or_frames(const Reply& v) const {
    if (!takes_frames)
      return json(200, encode(v));
    return {200, std::string{wire::frames_type}, encode_frames(v), {}};
  }
  template <class Reply>
  api_response operator()(const Reply& v) const {
    return json(200, encode(v));
  }
};

} // namespace

api_response to_response(const answer& what, bool takes_frames) {
  return std::visit(responder{takes_frames}, what);
}

api_response to_response(const error& e) {
  auto told = e;
  if (!told.retry_after_s && retry_advice(e.code) == advice::retry_later)
    told.retry_after_s = 1;
  api_response r{http_status(e.code), "application/problem+json", wire::encode(told), {}};
  if (told.retry_after_s)
    r.headers.emplace_back("Retry-After", std::to_string(*told.retry_after_s));
  if (e.code == errc::token_required)
    r.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sallyport\"");
  if (e.code == errc::bad_token)
    r.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sallyport\", error=\"invalid_token\"");
  return r;
}

} // namespace sallyport::cloud

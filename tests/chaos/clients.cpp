#include "tests/chaos/clients.hpp"

#include "protocol/codec.hpp"

#include <stdexcept>

namespace sallyport::chaos {

namespace {

io::client make_client(const std::string& url) {
  io::transport_settings s;
  s.token = "dev";
  auto made = io::client::make(url, s);
  if (!made)
    throw std::runtime_error(to_string(made.err()));
  return *std::move(made);
}

/// The wire's own rule: nothing was stored after a 4xx or a 507; 503 says by its code; the rest is in doubt.
ending judge_problem(int status, errc code) {
  if (status == 507 || (status >= 400 && status < 500))
    return ending::fail;
  return retry_advice(code) == advice::ask_first || status < 500 ? ending::unknown : ending::fail;
}

} // namespace

hub_api::hub_api(const std::string& url) : client_(make_client(url)) {}

answer hub_api::ask(const std::string& method, const std::string& target, std::string body, const std::string& type,
                    milliseconds bound, const std::string& prefer) {
  runtime::http_request r;
  r.method = method, r.target = target, r.body = std::move(body), r.content_type = type, r.timeout = bound, r.prefer = prefer;
  auto reply = client_.send(std::move(r));
  answer a;
  if (!reply) {
    a.code = reply.err().code;
    a.how = a.code == errc::unreachable ? ending::fail : ending::unknown;
    a.body = to_string(reply.err());
    return a;
  }
  a.status = reply->status;
  a.body = std::move(reply->body);
  if (a.status < 300) {
    a.how = ending::ok;
  } else {
    a.code = wire::decode_problem(a.body).code;
    a.how = judge_problem(a.status, a.code);
  }
  return a;
}

client::client(record& r, client_options o) : record_(r), options_(std::move(o)), hub_(options_.hub), random_(options_.seed) {}

void client::wait() {
  if (thread_.joinable())
    thread_.join();
}

void client::finish() {
  leave_ = true;
  wait();
  tell();
}

} // namespace sallyport::chaos

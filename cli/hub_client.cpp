#include "cli/hub_client.hpp"

#include "config/options.hpp"
#include "config/secret.hpp"
#include "protocol/codec.hpp"
#include "protocol/ids.hpp"
#include "runtime/io/client.hpp"

#include <cstdlib>
#include <memory>

namespace sallyport::cli {

void add_hub_options(command& to, hub_options& options) {
  to.option("--hub URL", options.hub, "Address of the hub; or the environment variable SALLYPORT_HUB.", "SALLYPORT_HUB")
    .option("--token REFERENCE", options.token,
            "file:/path, env:NAME or credential:NAME of a token, or the word dev; or SALLYPORT_TOKEN in the environment.")
    .option("--ca FILE", options.ca, "Authorities to trust instead of the system's, PEM; or SALLYPORT_CA.", "SALLYPORT_CA");
}

result<std::string> resolve_token(const std::string& option, const char* environment) {
  const std::string given = !option.empty() ? option : environment != nullptr ? environment : "";
  if (given == "dev")
    return given;
  if (config::is_secret_reference(given)) {
    auto secret = config::resolve_secret(given);
    if (!secret)
      return result<std::string>(errc::invalid_config, "the token: " + secret.err().detail);
    return std::move(secret->value);
  }
  if (given.empty())
    return result<std::string>(errc::invalid_config,
                               "which token? give --token file:/path, or set SALLYPORT_TOKEN; on a --dev hub it is dev");
  // Everybody on the machine can see a command line; the environment is its owner's.
  if (!option.empty())
    return result<std::string>(errc::invalid_config,
                               "--token takes a reference, not the token itself, which others could see in the list of "
                               "processes; write file:/path or env:NAME");
  return given;
}

result<ask_hub> connect(const hub_options& options) {
  if (options.hub.empty())
    return result<ask_hub>(errc::invalid_config, "which hub? give --hub URL, or set SALLYPORT_HUB");
  if (const auto wrong = config::check_hub_url(options.hub); !wrong.empty())
    return result<ask_hub>(errc::invalid_config, "--hub " + wrong);
  auto token = resolve_token(options.token, std::getenv("SALLYPORT_TOKEN"));
  if (!token)
    return token.err();
  io::transport_settings settings;
  settings.token = std::move(*token);
  settings.tls.ca_file = options.ca;
  auto made = io::client::make(options.hub, settings);
  if (!made)
    return made.err();
  auto client = std::make_shared<io::client>(std::move(*made));
  return ask_hub([client](const hub_request& r) -> result<hub_reply> {
    runtime::http_request request;
    request.method = r.method;
    request.target = r.target;
    request.content_type = r.content_type;
    request.body = r.body;
    request.timeout = r.timeout;
    request.prefer = r.prefer;
    auto reply = client->send(std::move(request));
    if (!reply)
      return reply.err();
    if (reply->status >= 400)
      return problem_of(reply->status, reply->body, reply->retry_after_s);
    return hub_reply{reply->status, std::move(reply->body)};
  });
}

result<std::string> connection_path(const std::string& group, const std::string& connection, const std::string& rest) {
  if (!is_valid_name(group))
    return result<std::string>(errc::invalid_request, "\"" + group + "\" is not the name of a group");
  if (!is_valid_name(connection))
    return result<std::string>(errc::invalid_request, "\"" + connection + "\" is not the name of a connection");
  return "/v1/groups/" + group + "/connections/" + connection + rest;
}

error problem_of(int status, const std::string& body, std::optional<unsigned> retry_after_s) {
  auto e = wire::decode_problem(body);
  if (e.code == errc::protocol_violation) {
    // A proxy or gateway in between answers in its own words; its 502, 503 and 504 pass as outages do.
    e = status == 401 || status == 403 ? make_error(errc::bad_token, "HTTP " + std::to_string(status))
        : status >= 500 ? make_error(errc::unreachable, "HTTP " + std::to_string(status) + " that is not the hub's")
                        : make_error(errc::protocol_violation, "HTTP " + std::to_string(status) + " that is not the hub's");
  }
  if (!e.retry_after_s)
    e.retry_after_s = retry_after_s;
  return e;
}

template <class Reply>
result<Reply> ask_for(const ask_hub& ask, const hub_request& request) {
  const auto reply = ask(request);
  if (!reply)
    return reply.err();
  return wire::decode<Reply>(reply->body);
}

template result<wire::enqueue_reply> ask_for(const ask_hub&, const hub_request&);
template result<wire::message_view> ask_for(const ask_hub&, const hub_request&);
template result<wire::queue_page> ask_for(const ask_hub&, const hub_request&);
template result<wire::count_reply> ask_for(const ask_hub&, const hub_request&);
template result<wire::connection_view> ask_for(const ask_hub&, const hub_request&);

} // namespace sallyport::cli

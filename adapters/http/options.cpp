#include "adapters/http/options.hpp"

namespace sallyport::adapters::http {

using namespace std::chrono_literals;

namespace {

// Headers whose values are secrets join the others; a name that stands in both tables is a fault.
config::entry_of<settings> secret_headers() {
  auto e = config::option(&settings::headers, "connection.http.secret_headers", "Like headers, with secret references as values.",
                          {.secret = true, .example = "{ \"X-Api-Key\" = \"file:/etc/sallyport/erp-key\" }"});
  e.assign = [](void* into, const config::node& value, const std::string& shown, config::fault_list& faults) {
    auto& headers = static_cast<settings*>(into)->headers;
    for (auto& [name, secret] : config::read_text_map(value, true, shown, faults).value_or(config::text_map{}))
      if (!headers.emplace(name, secret).second)
        faults.add(value.line, shown, "\"" + name + "\" stands in headers too", "write it once");
  };
  return e;
}

} // namespace

const config::options_of<settings>& options() {
  using s = settings;
  using config::option;
  static const config::options_of<settings> table(
    "connection.http",
    {
      config::section<s>(
        "connection.http",
        "Calls one HTTP service, within what its settings allow. The effect happens at least once, under a stable "
        "Idempotency-Key."),
      option(&s::url, "connection.http.url", "The service; a path is put before that of every request.",
             {.required = true, .example = "\"https://erp.plant.example:8443\""}),
      option(&s::methods, "connection.http.methods", "Methods that are allowed."),
      option(&s::path_prefixes, "connection.http.path_prefixes",
             "Paths that are allowed, in whole segments: \"/v1/orders\" allows \"/v1/orders/7\".",
             {.example = "[\"/v1/orders\"]"}),
      option(&s::path, "connection.http.path",
             "When set, the path of every request, whose body is the event's data. Without it the event says.",
             {.example = "\"/v1/orders\""}),
      option(&s::method, "connection.http.method", "The method that goes with path."),
      option(&s::request_headers, "connection.http.request_headers", "Headers that an event may set."),
      option(&s::result_headers, "connection.http.result_headers", "Headers of the answer that are kept in the result."),
      option(&s::headers, "connection.http.headers", "Sent with every request.", {.example = "{ \"X-Plant\" = \"7\" }"}),
      secret_headers(),
      option(&s::bearer_token, "connection.http.bearer_token", "Sent with every request.",
             {.secret = true, .example = "\"credential:erp-token\""}),
      option(&s::user, "connection.http.user", "For Basic authentication.", {.example = "\"sallyport\""}),
      option(&s::password, "connection.http.password", "For Basic authentication.",
             {.secret = true, .example = "\"credential:erp-password\""}),
      option(&s::ca_file, "connection.http.ca_file", "Authorities to trust instead of the system's, PEM.",
             {.check = config::check_readable, .example = "\"/etc/sallyport/erp-ca.crt\""}),
      option(&s::server_name, "connection.http.server_name", "The name the certificate must carry, when it is not the address's.",
             {.example = "\"erp.plant.example\""}),
      option(
        &s::probe_path, "connection.http.probe_path",
        "Asked with GET to see whether the service is there: any answer below 500 will do. Without it, connecting is enough.",
        {.example = "\"/health\""}),
      option(&s::connect_timeout, "connection.http.connect_timeout_ms", "How long connecting may take.",
             {.min = 1ms, .max = 10min}),
      option(&s::idle_timeout, "connection.http.idle_timeout_ms", "An idle connection older than this is not used again.",
             {.max = 1h}),
      option(&s::response_bytes_max, "connection.http.response_bytes_max",
             "A longer body of an answer is left out of the result."),
      option(&s::workers, "connection.http.workers", "Requests at once.", {.min = std::size_t{1}, .max = std::size_t{64}}),
    });
  return table;
}

} // namespace sallyport::adapters::http

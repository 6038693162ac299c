#include "runtime/io/client.hpp"

#include <future>

namespace sallyport::io {

result<client> client::make(const std::string& hub_url, const transport_settings& settings) {
  auto factory = make_https_transport_factory(settings);
  if (!factory)
    return std::move(factory).err();
  auto transport = (*factory)(hub_url);
  if (!transport)
    return std::move(transport).err();
  return client(*transport);
}

result<runtime::http_reply> client::send(runtime::http_request request) {
  // Shared with the handler: a promise on this stack could be gone before set_value has returned.
  auto answer = std::make_shared<std::promise<result<runtime::http_reply>>>();
  auto reply = answer->get_future();
  transport_->send(std::move(request), [answer](result<runtime::http_reply> r) { answer->set_value(std::move(r)); });
  return reply.get();
}

} // namespace sallyport::io

// One request at a time to a hub, waiting for the answer: what a command line needs.
#pragma once

#include "runtime/io/https_transport.hpp"

namespace sallyport::io {

class client {
public:
  /// Errors: invalid_config.
  [[nodiscard]] static result<client> make(const std::string& hub_url, const transport_settings& settings);

  /// Blocks until the answer is there or request.timeout has passed. Any thread, several at once if they use slots of their own. Errors:
  /// as of a transport.
  [[nodiscard]] result<runtime::http_reply> send(runtime::http_request request);

private:
  explicit client(std::shared_ptr<runtime::transport> t) : transport_(std::move(t)) {}

  std::shared_ptr<runtime::transport> transport_;
};

} // namespace sallyport::io

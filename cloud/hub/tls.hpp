// The hub's side of TLS: 1.2 at least, 1.3 preferred, forward secrecy only. Used at start; the context is then shared by all connections.
#pragma once

#include "protocol/result.hpp"

#include <memory>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace sallyport::cloud {

/// From PEM files: a certificate with its chain, and its key. Errors: invalid_config, saying which file and what OpenSSL said.
[[nodiscard]] result<std::unique_ptr<boost::asio::ssl::context>> make_server_tls(const std::string& cert_file,
                                                                                 const std::string& key_file);

} // namespace sallyport::cloud

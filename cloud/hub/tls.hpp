// The hub's side of TLS: 1.2 at least, 1.3 preferred, forward secrecy only. The context is shared by all connections
// that begin while it is the current one.
#pragma once

#include "protocol/result.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace sallyport::cloud {

/// From PEM files: a certificate with its chain, and its key. Errors: invalid_config, saying which file and what OpenSSL said.
[[nodiscard]] result<std::unique_ptr<boost::asio::ssl::context>> make_server_tls(const std::string& cert_file,
                                                                                 const std::string& key_file);

/// Tells whether the files are still those that were read.
struct tls_files_stamp {
  std::array<std::int64_t, 6> marks{}; // Inode, time and size of each.
  friend bool operator==(const tls_files_stamp&, const tls_files_stamp&) = default;
};
[[nodiscard]] tls_files_stamp stamp_of(const std::string& cert_file, const std::string& key_file);

} // namespace sallyport::cloud

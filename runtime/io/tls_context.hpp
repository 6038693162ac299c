// TLS towards one hub: what is trusted, which name is expected, sessions to resume, and plain words for a refusal.
// Owned by a transport, used on its io thread only (OpenSSL calls back on the thread that does the handshake).
#pragma once

#include "config/agent_settings.hpp"
#include "protocol/result.hpp"

#include <memory>
#include <string>
#include <vector>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace sallyport::io {

/// What a handshake saw of the peer's certificate when verification failed. Filled by OpenSSL's callback.
struct certificate_seen {
  int reason = 0;      // X509_V_ERR_...; 0: no certificate was refused.
  int depth = 0;       // 0: the peer's own certificate, else one of its chain.
  std::string subject; // Of the peer's own certificate.
  std::string issuer;
  std::string names; // Its subject alternative names, "a.example, 10.0.0.1".
  std::string valid; // "2025-01-01 to 2026-01-01"
};

class tls_context {
public:
  /// The host is what the address names; settings.server_name overrides it. Errors: invalid_config (the CA file).
  static result<std::shared_ptr<tls_context>> make(const config::tls_settings& settings, const std::string& host);
  ~tls_context();
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  /// A client's SSL, ready for its handshake: TLS 1.2 at least, name and chain checked, a session offered if there is one. The caller
  /// owns it; `seen` and this context must live as long.
  [[nodiscard]] ssl_st* make_ssl(certificate_seen& seen);

  /// The same, of the CA file as it is now; itself if that has not changed, or cannot be read at this moment.
  [[nodiscard]] static std::shared_ptr<tls_context> renewed(const std::shared_ptr<tls_context>& old);

  /// The detail of tls_refused, after a handshake with `peer` ("hub.example:8443") failed with OpenSSL's `reason`.
  [[nodiscard]] std::string explain(const std::string& peer, const certificate_seen& seen, const std::string& reason) const;

private:
  tls_context() = default;
  static int keep_session(ssl_st* ssl, ssl_session_st* session);

  ssl_ctx_st* context_ = nullptr;
  config::tls_settings settings_;
  std::string host_;
  std::string ca_stamp_; // Tells one state of the CA file from another; empty without a file.
  std::string expected_; // Name or address that the certificate must carry.
  bool expects_address_ = false;
  std::string trust_;                     // "the system's certificate store" or the CA file, for messages.
  std::vector<ssl_session_st*> sessions_; // Newest last. A few, because TLS 1.3 tickets are for one use each.
};

} // namespace sallyport::io

#include "runtime/io/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <sys/stat.h>

#include <ctime>

namespace sallyport::io {
namespace {

constexpr std::size_t sessions_kept = 8;

/// Where an SSL finds the certificate_seen of its handshake. (Asio uses the app data slot for itself.)
int seen_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string openssl_reason() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* text = ERR_reason_error_string(code);
  return text ? text : "unknown reason";
}

std::string stamp_of(const std::string& path) {
  struct stat s {};
  if (path.empty() || ::stat(path.c_str(), &s) != 0)
    return {};
  return std::to_string(s.st_ino) + "/" + std::to_string(s.st_size) + "/" + std::to_string(s.st_mtim.tv_sec) + "."
         + std::to_string(s.st_mtim.tv_nsec);
}

std::string text_of(const X509_NAME* name) {
  BIO* out = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(out, name, 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text.empty() ? "(empty)" : text;
}

std::string alternative_names(const X509* certificate) {
  std::string out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    std::string name;
    if (type == GEN_DNS) {
      const auto* s = static_cast<const ASN1_STRING*>(value);
      name.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)), static_cast<std::size_t>(ASN1_STRING_length(s)));
    } else if (type == GEN_IPADD) {
      const auto* s = static_cast<const ASN1_STRING*>(value);
      char text[INET6_ADDRSTRLEN] = "";
      inet_ntop(ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof text);
      name = text;
    }
    if (!name.empty())
      out += (out.empty() ? "" : ", ") + name;
  }
  GENERAL_NAMES_free(names);
  return out;
}

std::string date_of(const ASN1_TIME* time) {
  tm t{};
  char text[32] = "?";
  if (ASN1_TIME_to_tm(time, &t) == 1)
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%MZ", &t);
  return text;
}

/// Runs at every step of the chain; changes no verdict, only remembers the first refusal.
int on_verify(int ok, X509_STORE_CTX* store) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* seen = static_cast<certificate_seen*>(SSL_get_ex_data(ssl, seen_index()));
  if (ok || !seen || seen->reason != 0)
    return ok;
  seen->reason = X509_STORE_CTX_get_error(store);
  seen->depth = X509_STORE_CTX_get_error_depth(store);
  if (const X509* own = X509_STORE_CTX_get0_cert(store)) {
    seen->subject = text_of(X509_get_subject_name(own));
    seen->issuer = text_of(X509_get_issuer_name(own));
    seen->names = alternative_names(own);
    seen->valid = date_of(X509_get0_notBefore(own)) + " to " + date_of(X509_get0_notAfter(own));
  }
  return ok;
}

} // namespace

result<std::shared_ptr<tls_context>> tls_context::make(const config::tls_settings& settings, const std::string& host) {
  ERR_clear_error();
  std::shared_ptr<tls_context> self(new tls_context);
  self->settings_ = settings;
  self->host_ = host;
  self->ca_stamp_ = stamp_of(settings.ca_file); // Before it is read: a change meanwhile is then seen as one.
  self->context_ = SSL_CTX_new(TLS_client_method());
  SALLYPORT_ASSERT(self->context_ != nullptr);
  auto* context = self->context_;
  SSL_CTX_set_app_data(context, self.get());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_session);

  if (settings.ca_file.empty()) {
    self->trust_ = "the system's certificate store";
    if (SSL_CTX_set_default_verify_paths(context) != 1)
      return make_error(errc::invalid_config, "the system's certificate store could not be read: " + openssl_reason());
  } else {
    self->trust_ = settings.ca_file;
    if (SSL_CTX_load_verify_file(context, settings.ca_file.c_str()) != 1)
      return make_error(errc::invalid_config, "tls.ca_file " + settings.ca_file
                                                + " holds no certificates in PEM form that can be read: " + openssl_reason());
  }

  self->expected_ = settings.server_name.empty() ? host : settings.server_name;
  in6_addr scratch{};
  self->expects_address_ =
    inet_pton(AF_INET, self->expected_.c_str(), &scratch) == 1 || inet_pton(AF_INET6, self->expected_.c_str(), &scratch) == 1;
  auto* check = SSL_CTX_get0_param(context);
  X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = self->expects_address_ ? X509_VERIFY_PARAM_set1_ip_asc(check, self->expected_.c_str())
                                         : X509_VERIFY_PARAM_set1_host(check, self->expected_.data(), self->expected_.size());
  if (set != 1)
    return make_error(errc::invalid_config, "tls.server_name \"" + self->expected_ + "\" is not a host name or address");
  return self;
}

std::shared_ptr<tls_context> tls_context::renewed(const std::shared_ptr<tls_context>& old) {
  if (stamp_of(old->settings_.ca_file) == old->ca_stamp_)
    return old;
  auto fresh = make(old->settings_, old->host_);
  return fresh ? *fresh : old;
}

tls_context::~tls_context() {
  for (auto* session : sessions_)
    SSL_SESSION_free(session);
  SSL_CTX_free(context_);
}

ssl_st* tls_context::make_ssl(certificate_seen& seen) {
  SSL* ssl = SSL_new(context_);
  SALLYPORT_ASSERT(ssl != nullptr);
  SSL_set_ex_data(ssl, seen_index(), &seen);
  if (!expects_address_)
    SSL_set_tlsext_host_name(ssl, expected_.c_str());
  if (!sessions_.empty()) {
    auto* session = sessions_.back();
    SSL_set_session(ssl, session);
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION) {
      sessions_.pop_back(); // A ticket used twice would let an observer link the connections.
      SSL_SESSION_free(session);
    }
  }
  return ssl;
}

int tls_context::keep_session(ssl_st* ssl, ssl_session_st* session) {
  auto* self = static_cast<tls_context*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (self->sessions_.size() == sessions_kept) {
    SSL_SESSION_free(self->sessions_.front());
    self->sessions_.erase(self->sessions_.begin());
  }
  self->sessions_.push_back(session);
  return 1; // Its reference is ours now.
}

std::string tls_context::explain(const std::string& peer, const certificate_seen& seen, const std::string& reason) const {
  if (seen.reason == 0) {
    std::string out = "the TLS handshake with " + peer + " failed: " + reason;
    if (reason.find("wrong version number") != std::string::npos || reason.find("packet length too long") != std::string::npos)
      out += "; what listens there does not seem to speak TLS: check the port";
    else if (reason.find("protocol version") != std::string::npos || reason.find("unsupported protocol") != std::string::npos)
      out += "; TLS 1.2 is the least accepted";
    return out;
  }
  std::string out = "the certificate of " + peer + " is not accepted: " + X509_verify_cert_error_string(seen.reason);
  if (seen.depth > 0)
    out += " (at depth " + std::to_string(seen.depth) + " of its chain)";
  out += "; expected the name \"" + expected_ + "\", saw subject \"" + seen.subject + "\", names \""
         + (seen.names.empty() ? "(none)" : seen.names) + "\", issuer \"" + seen.issuer + "\", valid " + seen.valid;
  switch (seen.reason) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: out += "; use one of its names in the hub's address, or set tls.server_name"; break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID: out += "; renew the certificate, or set this machine's clock right"; break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      out += "; the issuer is not in " + trust_
             + ": if the hub has a private CA, or a proxy inspects TLS, put that CA's certificate into tls.ca_file";
      break;
    default: break;
  }
  return out;
}

} // namespace sallyport::io

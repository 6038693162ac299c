#include "cloud/hub/tls.hpp"

#include <boost/asio/ssl/context.hpp>

#include <sys/stat.h>

namespace sallyport::cloud {

namespace {

constexpr unsigned char http_1_1[] = "\x08http/1.1";

/// HTTP/1.1 is all we speak; a client that offers only others goes on without ALPN and finds out by the first answer.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, http_1_1, sizeof http_1_1 - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

} // namespace

result<std::unique_ptr<boost::asio::ssl::context>> make_server_tls(const std::string& cert_file, const std::string& key_file) {
  namespace ssl = boost::asio::ssl;
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  auto* raw = context->native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20"); // Of 1.2; those of 1.3 are good as they come.
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_PRIORITIZE_CHACHA
                             | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS); // Ten thousand idle agents would hold 340 MB otherwise.
  SSL_CTX_set_session_id_context(raw, reinterpret_cast<const unsigned char*>("sallyport"), 9);
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  boost::system::error_code ec;
  context->use_certificate_chain_file(cert_file, ec);
  if (ec)
    return {errc::invalid_config, "reading the certificate " + cert_file + ": " + ec.message()};
  context->use_private_key_file(key_file, ssl::context::pem, ec);
  if (ec)
    return {errc::invalid_config, "reading the key " + key_file + ": " + ec.message()};
  if (SSL_CTX_check_private_key(raw) != 1)
    return {errc::invalid_config, "the key " + key_file + " does not belong to the certificate " + cert_file};
  return context;
}

tls_files_stamp stamp_of(const std::string& cert_file, const std::string& key_file) {
  tls_files_stamp stamp;
  std::size_t next = 0;
  for (const auto& file : {cert_file, key_file}) {
    struct stat st {};
    if (::stat(file.c_str(), &st) != 0)
      st = {};
    for (const auto mark :
         {static_cast<std::int64_t>(st.st_ino), st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec, st.st_size})
      stamp.marks.at(next++) = mark;
  }
  return stamp;
}

} // namespace sallyport::cloud

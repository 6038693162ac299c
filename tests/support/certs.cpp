#include "tests/support/certs.hpp"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <ctime>
#include <stdexcept>

namespace sallyport::testing {
namespace {

using key_ptr = std::shared_ptr<EVP_PKEY>;
using cert_ptr = std::shared_ptr<X509>;

void require(bool ok, const char* what) {
  if (!ok)
    throw std::runtime_error(std::string("OpenSSL failed to ") + what);
}

key_ptr make_key() {
  key_ptr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  require(key != nullptr, "make a key");
  return key;
}

void extend(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension != nullptr, "make an extension");
  X509_add_ext(cert, extension, -1);
  X509_EXTENSION_free(extension);
}

cert_ptr make_cert(const std::string& common_name, std::chrono::seconds begins, std::chrono::seconds ends, EVP_PKEY* key) {
  static long serial = std::time(nullptr);
  cert_ptr cert(X509_new(), X509_free);
  require(cert != nullptr, "make a certificate");
  X509_set_version(cert.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(cert.get()), begins.count());
  X509_gmtime_adj(X509_getm_notAfter(cert.get()), ends.count());
  X509_set_pubkey(cert.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1, 0);
  return cert;
}

template <class Write>
std::string write_pem(const std::filesystem::path& path, Write write) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  require(file != nullptr, "open a PEM file");
  const int ok = write(file);
  std::fclose(file);
  require(ok == 1, "write a PEM file");
  return path.string();
}

} // namespace

certificate_authority::certificate_authority(const std::filesystem::path& folder, const std::string& common_name)
  : folder_(folder),
    key_(make_key()),
    cert_(make_cert(common_name, std::chrono::hours(-48), std::chrono::hours(48), key_.get())) {
  X509_set_issuer_name(cert_.get(), X509_get_subject_name(cert_.get()));
  extend(cert_.get(), cert_.get(), NID_basic_constraints, "critical,CA:TRUE");
  extend(cert_.get(), cert_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(cert_.get(), cert_.get(), NID_subject_key_identifier, "hash");
  require(X509_sign(cert_.get(), key_.get(), EVP_sha256()) > 0, "sign the authority");
  ca_file_ = write_pem(folder_ / "ca.pem", [this](std::FILE* f) { return PEM_write_X509(f, cert_.get()); });
}

certificate_files certificate_authority::issue(const certificate_wish& wish) {
  const auto key = make_key();
  const auto cert = make_cert(wish.common_name, wish.begins, wish.ends, key.get());
  X509_set_issuer_name(cert.get(), X509_get_subject_name(cert_.get()));
  extend(cert.get(), cert_.get(), NID_basic_constraints, "critical,CA:FALSE");
  extend(cert.get(), cert_.get(), NID_ext_key_usage, "serverAuth");
  extend(cert.get(), cert_.get(), NID_authority_key_identifier, "keyid");
  std::string names;
  for (const auto& name : wish.names)
    names += (names.empty() ? "DNS:" : ",DNS:") + name;
  for (const auto& address : wish.addresses)
    names += (names.empty() ? "IP:" : ",IP:") + address;
  if (!names.empty())
    extend(cert.get(), cert_.get(), NID_subject_alt_name, names);
  require(X509_sign(cert.get(), key_.get(), EVP_sha256()) > 0, "sign a certificate");

  const auto stem = "server" + std::to_string(++issued_);
  return {write_pem(folder_ / (stem + ".pem"), [&](std::FILE* f) { return PEM_write_X509(f, cert.get()); }),
          write_pem(folder_ / (stem + ".key"),
                    [&](std::FILE* f) { return PEM_write_PrivateKey(f, key.get(), nullptr, nullptr, 0, nullptr, nullptr); })};
}

} // namespace sallyport::testing

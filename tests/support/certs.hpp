// A certificate authority of a test's own: keys and certificates made at run time, in PEM files.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

struct evp_pkey_st;
struct x509_st;

namespace sallyport::testing {

struct certificate_files {
  std::string cert, key; // Paths.
};

struct certificate_wish {
  std::string common_name = "localhost";
  std::vector<std::string> names = {"localhost"}; // DNS names it is for.
  std::vector<std::string> addresses = {"127.0.0.1", "::1"};
  std::chrono::seconds begins = std::chrono::hours(-1); // From now.
  std::chrono::seconds ends = std::chrono::hours(24);
};

/// Throws std::runtime_error when OpenSSL fails.
class certificate_authority {
public:
  explicit certificate_authority(const std::filesystem::path& folder, const std::string& common_name = "Sallyport Test CA");

  [[nodiscard]] const std::string& ca_file() const { return ca_file_; }
  [[nodiscard]] certificate_files issue(const certificate_wish& wish = {});

private:
  std::filesystem::path folder_;
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> cert_;
  std::string ca_file_;
  int issued_ = 0;
};

} // namespace sallyport::testing

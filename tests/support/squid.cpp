#include "tests/support/squid.hpp"

#include "tests/support/eventually.hpp"
#include "tests/support/free_port.hpp"

#include <crypt.h>
#include <pwd.h>
#include <unistd.h>

#include <stdexcept>

namespace sallyport::testing {
namespace {

constexpr const char* program = "/usr/sbin/squid";
constexpr const char* password_helper = "/usr/lib/squid/basic_ncsa_auth";

std::string configuration(const temp_dir& folder, std::uint16_t port, const squid_options& options) {
  std::string out = "http_port 127.0.0.1:" + std::to_string(port) + "\n";
  if (geteuid() == 0)
    out += "cache_effective_user proxy\n"; // Squid refuses to work as root.
  out += "pid_filename " + (folder / "squid.pid") + "\n" + "access_log stdio:" + (folder / "access.log") + "\n" + "cache_log "
         + (folder / "cache.log") + "\n" + "coredump_dir " + folder.path().string() + "\n" + "auth_param basic program "
         + password_helper + " " + (folder / "passwords") + "\n"
         + "auth_param basic children 1 startup=1\n"
           "auth_param basic realm plant network\n"
           "acl forbidden dstdomain "
         + options.forbidden_domain + "\n"
         + "acl known proxy_auth REQUIRED\n"
           "http_access deny forbidden\n"
           "http_access allow known\n"
           "http_access deny all\n"
           "cache deny all\n"
           "cache_mem 8 MB\n"
           "netdb_filename none\n"
           "pinger_enable off\n"
           "max_filedescriptors 1024\n"
           "shutdown_lifetime 0 seconds\n"
           "connect_timeout 5 seconds\n"
           "visible_hostname proxy.test\n";
  return out;
}

} // namespace

bool squid::available() {
  return access(program, X_OK) == 0 && access(password_helper, X_OK) == 0;
}

squid::squid(const squid_options& options) {
  crypt_data work{};
  const char* hash = crypt_r(options.password.c_str(), "$5$sallyport$", &work);
  if (!hash || hash[0] == '*')
    throw std::runtime_error("crypt(3) cannot make a password");
  folder_.write("passwords", options.user + ":" + hash + "\n");
  if (geteuid() == 0) {
    const passwd* proxy = getpwnam("proxy");
    if (!proxy || chown(folder_.path().c_str(), proxy->pw_uid, proxy->pw_gid) != 0)
      throw std::runtime_error("there is no user \"proxy\" to run squid as");
  }
  for (int attempt = 0; attempt < 5; ++attempt) { // The port may be taken between our look and squid's.
    port_ = free_port();
    const auto config = folder_.write("squid.conf", configuration(folder_, port_, options));
    process_ = std::make_unique<process>(process_options{.argv = {program, "-N", "-f", config},
                                                         .env = {},
                                                         .stdout_file = folder_ / "squid.out",
                                                         .stderr_file = {},
                                                         .stdin_file = {},
                                                         .folder = folder_.path().string()});
    if (eventually([this] { return !process_->running() || port_answers(port_); }) && process_->running())
      return;
    process_.reset();
  }
  throw std::runtime_error("squid does not start:\n" + content_of(folder_ / "squid.out") + content_of(folder_ / "cache.log"));
}

} // namespace sallyport::testing

#include "config/secret.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace sallyport::config {

namespace {

constexpr std::size_t secret_bytes_max = 64 << 10;

error refuse(std::string what, const std::string& advice) {
  return make_error(errc::invalid_config, std::move(what) + "; " + advice);
}

enum class keeper { owner, systemd };

result<resolved_secret> from_file(const std::string& path, keeper kept_by) {
  struct stat about = {};
  if (::stat(path.c_str(), &about) != 0)
    return refuse("cannot find the secret's file " + path + ": " + std::strerror(errno),
                  "put the secret there, readable by its user only");
  if (!S_ISREG(about.st_mode))
    return refuse(path + " is not a file", "name the file that holds the secret");
  // systemd opens credentials to one user by an access list, which shows as rights of the group: its folder is private anyway.
  if (kept_by == keeper::owner && (about.st_mode & (S_IRWXO | S_IWGRP)) != 0)
    return refuse("others than its owner may use the secret's file " + path, "run: chmod 600 " + path);
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  if (!in || (about.st_size > 0 && !(content << in.rdbuf())))
    return refuse("cannot read the secret's file " + path, "give it to the user this program runs as");
  resolved_secret out{content.str(), {}};
  // Editors and `echo` end the last line; no secret does.
  if (out.value.ends_with('\n'))
    out.value.pop_back();
  if (out.value.ends_with('\r'))
    out.value.pop_back();
  if (out.value.empty() || out.value.size() > secret_bytes_max)
    return refuse(path + (out.value.empty() ? " is empty" : " is too large for a secret"), "write the secret into it");
  if (kept_by == keeper::owner && (about.st_mode & S_IRGRP) != 0)
    out.warning = "its group may read the secret's file " + path + "; run chmod 600 on it unless that is meant";
  return out;
}

} // namespace

bool is_secret_reference(std::string_view text) {
  return text.starts_with("file:") || text.starts_with("env:") || text.starts_with("credential:");
}

result<resolved_secret> resolve_secret(std::string_view reference) {
  const auto colon = reference.find(':');
  const std::string name(is_secret_reference(reference) ? reference.substr(colon + 1) : std::string_view{});
  if (reference.starts_with("file:")) {
    if (!name.starts_with('/'))
      return refuse("\"file:\" must be followed by an absolute path", "write file:/path/to/secret");
    return from_file(name, keeper::owner);
  }
  if (reference.starts_with("env:")) {
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value == nullptr || *value == '\0')
      return refuse("the environment variable \"" + name + "\" is not set", "set it for this program, or use file:/path");
    return resolved_secret{value, {}};
  }
  if (reference.starts_with("credential:")) {
    const char* dir = std::getenv("CREDENTIALS_DIRECTORY");
    if (name.empty() || name.find('/') != std::string::npos)
      return refuse("\"credential:\" must be followed by the name of a systemd credential", "write credential:NAME");
    if (dir == nullptr)
      return refuse("there are no systemd credentials here (CREDENTIALS_DIRECTORY is not set)",
                    "add LoadCredential=" + name + ":/path to the unit");
    return from_file(std::string(dir) + "/" + name, keeper::systemd);
  }
  // What was written may be the secret itself, so it is not repeated.
  return refuse("holds a secret in clear text, or none",
                "write file:/path, env:NAME or credential:NAME and keep the secret there");
}

} // namespace sallyport::config

#include "config/tokens.hpp"

#include "config/document.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

namespace sallyport::config {

namespace {

std::string hex(const std::uint8_t* bytes, std::size_t n) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * n);
  for (std::size_t i = 0; i < n; ++i) {
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}

std::optional<token_hash> parse_hash(std::string_view text) {
  token_hash hash;
  if (text.size() != 2 * hash.size())
    return std::nullopt;
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return std::nullopt;
    hash[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return hash;
}

token_hash hash_of(std::string_view token) {
  token_hash hash;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), hash.data());
  return hash;
}

std::string id_of(const token_hash& hash) {
  return "t-" + hex(hash.data(), 6);
}

class descriptor {
public:
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

private:
  int fd_;
};

error io_error(const std::string& what, const std::string& path) {
  return make_error(errc::state_io, what + " " + path + ": " + std::strerror(errno));
}

// Root works for a hub of another user: what it makes must be that user's.
bool give_to_owner_of(const std::string& dir, int fd) {
  struct stat about;
  return ::geteuid() != 0 || (::stat(dir.c_str(), &about) == 0 && ::fchown(fd, about.st_uid, about.st_gid) == 0);
}

result<void> replace_file(const std::string& dir, const std::string& path, std::string_view content) {
  const auto temporary = path + ".new";
  // A left-over of a crash may have other rights than ours.
  ::unlink(temporary.c_str());
  descriptor out(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (out.get() < 0)
    return io_error("cannot create", temporary);
  for (std::size_t at = 0; at < content.size();) {
    const auto n = ::write(out.get(), content.data() + at, content.size() - at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return io_error("cannot write", temporary);
    at += static_cast<std::size_t>(n);
  }
  if (!give_to_owner_of(dir, out.get()))
    return io_error("cannot give the hub's user", temporary);
  if (::fsync(out.get()) != 0)
    return io_error("cannot sync", temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0)
    return io_error("cannot replace", path);
  descriptor folder(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0)
    return io_error("cannot sync", dir);
  return {};
}

// Reads, changes and replaces the file while no other writer does.
result<void> update(const std::string& dir, const std::function<result<void>(token_file&)>& change) {
  struct stat about;
  if (::stat(dir.c_str(), &about) != 0) {
    std::error_code failed;
    std::filesystem::create_directories(dir, failed);
    if (failed)
      return result<void>(errc::state_io, "cannot create " + dir + ": " + failed.message());
    if (::chmod(dir.c_str(), 0700) != 0)
      return io_error("cannot close to others", dir);
  }
  const auto lock_path = dir + "/tokens.lock";
  descriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.get() < 0 || !give_to_owner_of(dir, lock.get()) || ::flock(lock.get(), LOCK_EX) != 0)
    return io_error("cannot lock", lock_path);
  const auto path = token_path(dir);
  auto file = token_file::load(path);
  if (!file)
    return file.err();
  if (auto changed = change(*file); !changed)
    return changed;
  return replace_file(dir, path, file->to_toml());
}

void read_entry(const node& from, token_file& into, fault_list& faults) {
  token_entry entry;
  const auto before = faults.errors();
  const auto text = [&](std::string_view key, bool required) -> std::string {
    const auto* at = from.find(key);
    if (at == nullptr) {
      if (required)
        faults.add(from.line, "token." + std::string(key), "missing", "make tokens with `sallyport token new`");
      return {};
    }
    if (!at->is(node::kind::text)) {
      faults.add(at->line, "token." + std::string(key), "must be text");
      return {};
    }
    if (required && at->text.empty())
      faults.add(at->line, "token." + std::string(key), "is empty", "make tokens with `sallyport token new`");
    return at->text;
  };
  entry.id = text("id", true);
  entry.grant.note = text("note", false);
  if (const auto word = text("role", true); !word.empty()) {
    if (const auto known = parse_role(word))
      entry.grant.role = *known;
    else
      faults.add(from.find("role")->line, "token.role", "there is no role \"" + word + "\"", "write producer, agent or admin");
  }
  if (const auto* groups = from.find("groups"); groups == nullptr || !groups->is(node::kind::list) || groups->items.empty()) {
    faults.add(groups ? groups->line : from.line, "token.groups", "must be a list of group names", "[\"*\"] means every group");
  } else {
    for (const auto& group : groups->items) {
      if (group.is(node::kind::text) && (group.text == "*" || is_valid_name(group.text)))
        entry.grant.groups.push_back(group.text);
      else
        faults.add(group.line, "token.groups", "holds what is not a group name", "[\"*\"] means every group");
    }
  }
  if (const auto at = text("created_at", false); !at.empty())
    entry.created_at = parse_rfc3339(at).value_or(wall_time{});
  if (const auto digits = text("sha256", true); !digits.empty()) {
    if (const auto hash = parse_hash(digits))
      entry.hash = *hash;
    else
      faults.add(from.find("sha256")->line, "token.sha256", "must be 64 hexadecimal digits (lower case)");
  }
  if (faults.errors() == before)
    into.add(std::move(entry));
}

error as_error(const fault_list& faults) {
  return make_error(errc::invalid_config, faults.text());
}

} // namespace

std::string_view to_string(role r) {
  switch (r) {
    case role::producer: return "producer";
    case role::agent: return "agent";
    case role::admin: return "admin";
  }
  return "producer";
}

std::optional<role> parse_role(std::string_view text) {
  for (const auto r : {role::producer, role::agent, role::admin})
    if (to_string(r) == text)
      return r;
  return std::nullopt;
}

bool token_grant::covers(const group_name& group) const {
  for (const auto& name : groups)
    if (name == "*" || name == group.value)
      return true;
  return false;
}

result<token_file> token_file::load(const std::string& path) {
  fault_list faults(path);
  struct stat about = {};
  if (::stat(path.c_str(), &about) != 0 && errno == ENOENT)
    return token_file{};
  // Who can write the file can make himself an admin.
  if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    faults.add(0, {}, "others than its owner may write this file", "check its tokens, then run: chmod 600 " + path);
  const auto text = read_file(path, faults);
  if (faults.has_errors())
    return as_error(faults);
  return parse(*text, path);
}

result<token_file> token_file::parse(std::string_view text, const std::string& name) {
  fault_list faults(name);
  token_file file;
  const auto root = parse_toml(text, faults);
  if (!root)
    return as_error(faults);
  for (const auto& item : root->items) {
    if (item.key != "token" || !item.is(node::kind::list)) {
      faults.add(item.line, item.key, "does not belong here", "the file holds [[token]] tables only");
      continue;
    }
    for (const auto& entry : item.items)
      read_entry(entry, file, faults);
  }
  if (faults.has_errors())
    return as_error(faults);
  return file;
}

std::string token_file::to_toml() const {
  std::string out = "# Written by `sallyport token`; a running hub reads it again when it changes. Holds hashes, no tokens.\n";
  for (const auto& e : entries_) {
    out += "\n[[token]]\nid = " + quote_toml(e.id) + "\nrole = " + quote_toml(to_string(e.grant.role)) + "\ngroups = [";
    for (std::size_t i = 0; i < e.grant.groups.size(); ++i)
      out += (i ? ", " : "") + quote_toml(e.grant.groups[i]);
    out += "]\nnote = " + quote_toml(e.grant.note) + "\ncreated_at = " + quote_toml(to_rfc3339(e.created_at))
           + "\nsha256 = " + quote_toml(hex(e.hash.data(), e.hash.size())) + "\n";
  }
  return out;
}

std::optional<token_grant> token_file::lookup(std::string_view token) const {
  const auto hash = hash_of(token);
  const token_entry* found = nullptr;
  for (const auto& entry : entries_)
    if (CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0)
      found = &entry;
  return found ? std::optional(found->grant) : std::nullopt;
}

bool token_file::remove(std::string_view id) {
  return std::erase_if(entries_, [id](const token_entry& e) { return e.id == id; }) > 0;
}

std::string token_path(const std::string& data_dir) {
  return data_dir + "/tokens.toml";
}

new_token make_token(token_grant grant, wall_time now) {
  std::array<std::uint8_t, 32> secret;
  SALLYPORT_ASSERT(RAND_bytes(secret.data(), secret.size()) == 1); // Without random bits there is no token worth giving out.
  new_token made;
  made.token = "sp_" + hex(secret.data(), secret.size());
  const auto hash = hash_of(made.token);
  made.entry = {id_of(hash), std::move(grant), now, hash};
  return made;
}

result<new_token> add_token(const std::string& data_dir, token_grant grant, wall_time now) {
  auto made = make_token(std::move(grant), now);
  const auto added = update(data_dir, [&made](token_file& file) {
    file.add(made.entry);
    return result<void>{};
  });
  if (!added)
    return added.err();
  return made;
}

result<token_entry> revoke_token(const std::string& data_dir, std::string_view id) {
  token_entry revoked;
  const auto removed = update(data_dir, [&revoked, id, &data_dir](token_file& file) {
    for (const auto& entry : file.entries())
      if (entry.id == id)
        revoked = entry;
    if (!file.remove(id))
      return result<void>(errc::not_found, "no token \"" + std::string(id) + "\" in " + token_path(data_dir)
                                             + "; `sallyport token list` shows them");
    return result<void>{};
  });
  if (!removed)
    return removed.err();
  return revoked;
}

} // namespace sallyport::config

// DATA/tokens.toml: who may do what at a hub. `sallyport token` writes it, the hub reads it, at the same time and without talking
// to each other: a new version replaces the old one by rename, so a reader sees the one or the other, whole.
//
// A token is 256 random bits, so a plain SHA-256 is enough at rest: there is nothing to guess that a slow hash would protect.
// Values and plain functions; any thread. After a crash the old file is there, or the new one.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/result.hpp"
#include "protocol/time.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::config {

enum class role : std::uint8_t { producer, agent, admin };
[[nodiscard]] std::string_view to_string(role r);
[[nodiscard]] std::optional<role> parse_role(std::string_view text);

/// What the bearer of a token may do, and where.
struct token_grant {
  config::role role = config::role::producer;
  std::vector<std::string> groups; // Names; "*" means every group.
  std::string note;

  [[nodiscard]] bool covers(const group_name& group) const;
  friend bool operator==(const token_grant&, const token_grant&) = default;
};

using token_hash = std::array<std::uint8_t, 32>;

struct token_entry {
  std::string id; // "t-" and the first 12 hex digits of the hash: names a token without giving it away.
  token_grant grant;
  wall_time created_at{};
  token_hash hash{};
};

class token_file {
public:
  /// A file that is not there holds no tokens. Errors: invalid_config (every fault, one per line), also when others may write the
  /// file.
  [[nodiscard]] static result<token_file> load(const std::string& path);
  /// The same from text; `name` is for messages.
  [[nodiscard]] static result<token_file> parse(std::string_view text, const std::string& name);
  [[nodiscard]] std::string to_toml() const;

  /// Takes the same time whichever token it is, known or not: every hash is compared to its end.
  [[nodiscard]] std::optional<token_grant> lookup(std::string_view token) const;

  [[nodiscard]] const std::vector<token_entry>& entries() const { return entries_; }
  void add(token_entry entry) { entries_.push_back(std::move(entry)); }
  bool remove(std::string_view id); // False when there is none.

private:
  std::vector<token_entry> entries_;
};

/// "tokens.toml" in the hub's data directory.
[[nodiscard]] std::string token_path(const std::string& data_dir);

struct new_token {
  std::string token; // "sp_" and 64 hex digits. Shown once, stored nowhere.
  token_entry entry;
};
/// Draws 256 bits from the system.
[[nodiscard]] new_token make_token(token_grant grant, wall_time now);

/// Adds a token to DATA/tokens.toml, creating directory (0700) and file (0600) when missing. Writers wait for one another. Run as
/// root, the file gets the owner of the directory, so that a hub of another user can read it. Errors: invalid_config, state_io.
[[nodiscard]] result<new_token> add_token(const std::string& data_dir, token_grant grant, wall_time now);
/// Errors: not_found, and as above.
[[nodiscard]] result<token_entry> revoke_token(const std::string& data_dir, std::string_view id);

} // namespace sallyport::config

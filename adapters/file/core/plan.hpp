// What a job asks of the file system, and what an error number means. Pure: no file is touched here.
#pragma once

#include "adapters/file/settings.hpp"

#include <variant>

namespace sallyport::adapters::file {

enum class operation : std::uint8_t { write, read, list, move, remove };

struct command {
  operation what = operation::write;
  std::string path, to;     // Relative, checked: no "..", no empty part.
  std::string content;      // write
  bool if_absent = false;   // write
  bool overwrite = false;   // move
  bool base64 = false;      // read
  std::string after;        // list: names behind this one.
  std::size_t limit = 1000; // list
  std::string temporary;    // write: the name that the file has before it is whole.
};

/// Temporary files begin with it; events cannot name them and listings leave them out.
inline constexpr std::string_view temporary_prefix = ".sallyport-";

/// What is wrong with a path that an event names; empty: nothing. The kernel checks again, against links.
[[nodiscard]] std::string fault_of_path(std::string_view path, bool may_be_root = false);
[[nodiscard]] std::variant<command, failure> plan(const settings& s, const job& j);

/// Octal; nothing for anything that is no mode of a file.
[[nodiscard]] std::optional<unsigned> parse_mode(std::string_view text);
/// "write 'in/a.txt'", for people.
[[nodiscard]] std::string describe(const command& c);
/// `code` is an errno.
[[nodiscard]] failure classify(const command& c, int code, wire::effect_state effect);

} // namespace sallyport::adapters::file

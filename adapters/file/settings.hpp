// The file adapter: writes, reads, lists, moves and deletes files below one directory, and can reach nothing above it: every path is
// resolved by the kernel (openat2) beneath the root and through no symbolic link. A write replaces the file whole or not at all, so that
// doing it twice leaves the same file.
//
// What to do comes from the event's data:
//   {"op": "write",  "path": "in/a.txt", "content": "text" | "content_base64": "…", "if_absent": false}
//   {"op": "read",   "path": "in/a.txt", "encoding": "text" | "base64"}
//   {"op": "list",   "path": "in", "after": "name", "limit": 1000}
//   {"op": "move",   "path": "in/a.txt", "to": "done/a.txt", "overwrite": false}
//   {"op": "delete", "path": "in/a.txt"}
// or, with write_path set, every event is a write of its data to a path made from its attributes.
#pragma once

#include "adapters/api/adapter.hpp"

namespace sallyport::adapters::file {

struct settings {
  std::string root;                                                               // Absolute; must exist.
  std::vector<std::string> operations{"write", "read", "list", "move", "delete"}; // What events may do.
  std::string write_path;             // "orders/{type}/{id}.json": {id} {source} {type} {subject} {message} or {data.member}.
  bool make_directories = true;       // Make the missing directories of a path that is written or moved to.
  std::uint64_t bytes_max = 16 << 20; // Of a file that is written. (What is read must fit into a result: 256 KiB.)
  std::string mode = "0640";          // Of new files, octal.
  std::size_t workers = 1;
};

/// Every fault at once, one per line of the detail. Errors: invalid_config.
[[nodiscard]] result<void> check(const settings& s);
/// The settings must pass check().
[[nodiscard]] factory make_factory(const settings& s);

} // namespace sallyport::adapters::file

// The quickstart's input: every record of two JSON files of Debian's iso-codes. Values; any thread.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/result.hpp"

#include <map>
#include <string>
#include <vector>

namespace quickstart {

/// One file, and the table its records end up in.
struct dataset {
  std::string file; // "iso_639-3.json"
  std::string root; // Its one member, which holds the list.
  std::string table;
  std::string event_type;
  std::vector<std::string> columns; // Every field a record may have; the first is its key.
};
[[nodiscard]] const std::vector<dataset>& datasets();

using fields = std::map<std::string, std::string>; // Those that are there.

struct record {
  const dataset* set = nullptr;
  std::string key;
  std::string json;             // As one line.
  sallyport::digest128 content; // Of its fields; see content_of.
};

/// A hash over the fields in the order of the columns, each with its name and length, those that are missing left out. The same for a
/// record of the file and for the row it should have become.
[[nodiscard]] sallyport::digest128 content_of(const dataset& set, const fields& values);

/// All records of all datasets, in the order of the files. An unknown field is an error: it would be lost without anybody noticing.
[[nodiscard]] sallyport::result<std::vector<record>> read_records(const std::string& folder);

/// The record as one line of CloudEvents JSON. Its id is stable, so that it may be sent again.
[[nodiscard]] std::string event_of(const record& r);

} // namespace quickstart

// What `sallyport send` reads, turned into events. Bare JSON is wrapped, under an id that comes out the same when it is read
// again, so that sending a file twice stores nothing twice. Pure but for reading the descriptor it is given; one thread.
#pragma once

#include "protocol/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::cli {

/// How bare JSON becomes an event.
struct wrap_rules {
  std::string source; // Of the events; with the id it is what makes an event the same one.
  std::string type = "sallyport.record";
  std::string id{}; // For a single record: its id.
  std::string
    id_from{}; // Path of a text or number in the record ("alpha_3", "order.number"); empty: "<line>-<hash of the record>".
  std::string key_from{}; // Path of what becomes the partition key; empty: none.
};

/// An event as it is: a CloudEvent stays what it is, anything else becomes the data of one. `place` is the line or item number.
/// Validated.
[[nodiscard]] result<std::string> to_event(std::string_view json, std::uint64_t place, const wrap_rules& rules);

struct input_record {
  std::string json;
  std::uint64_t place = 0; // Line of the file, or number of the item, from 1.
};

/// Reads lines of JSON, or one JSON array, whichever the input begins with. With `items`, one document in which the records are
/// an array under that path ("639-3").
class input_reader {
public:
  input_reader(int descriptor, std::string items);

  enum class state : std::uint8_t { record, pause, end };
  /// The next record; `pause` when nothing came for `patience_ms` (a pipe that is slow), so that what has gathered can be sent.
  /// Errors: malformed_json (not an array, no such path), state_io.
  [[nodiscard]] result<state> next(input_record& into, int patience_ms);

  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_; }
  /// "line" or "item".
  [[nodiscard]] std::string_view unit() const { return whole_ ? "item" : "line"; }

private:
  enum class fill_state : std::uint8_t { more, pause, end };
  [[nodiscard]] result<fill_state> fill(int patience_ms);
  [[nodiscard]] result<void> read_whole();

  int descriptor_;
  std::string items_path_;
  std::string buffer_;
  std::size_t at_ = 0;      // Of the first byte not taken yet.
  std::size_t scanned_ = 0; // No line ends before here.
  std::uint64_t place_ = 0;
  std::uint64_t bytes_ = 0;
  bool ended_ = false;
  bool begun_ = false;
  bool whole_ = false;
  std::vector<std::string_view> items_; // Of the whole document, in buffer_.
};

} // namespace sallyport::cli

// Reads single values out of an event by path, for adapters that map events to requests. Built once per job; later look-ups cost a
// comparison per member. The event has been validated by the agent; input that is not JSON is read as having no members, never past
// its end. A value; any thread. Keeps views: the event must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::adapters {

/// A value found in an event.
struct event_value {
  enum class kind : std::uint8_t { missing, null, boolean, number, string, object, array };
  kind what = kind::missing;
  std::string_view raw; // As it stands in the event; empty when missing.

  [[nodiscard]] bool is_missing() const { return what == kind::missing; }
  /// A string decoded; of anything else the raw JSON.
  [[nodiscard]] std::string text() const;
};

/// The value of one JSON text.
[[nodiscard]] event_value read_value(std::string_view json);
/// The members of a JSON object, in order, keys decoded; empty when it is no object.
[[nodiscard]] std::vector<std::pair<std::string, event_value>> members_of(std::string_view json);
/// The items of a JSON array; empty when it is none.
[[nodiscard]] std::vector<event_value> items_of(std::string_view json);

class event_reader {
public:
  explicit event_reader(std::string_view event);

  /// "id", "data", "data.alpha_3", "data.lines.0.sku": members by name and items by position, separated by dots.
  [[nodiscard]] event_value at(std::string_view path) const;

private:
  std::vector<std::pair<std::string, event_value>> attributes_;
  std::vector<std::pair<std::string, event_value>> data_; // The members of `data`: what nearly every path begins with.
};

} // namespace sallyport::adapters

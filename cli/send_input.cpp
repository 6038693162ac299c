#include "cli/send_input.hpp"

#include "adapters/api/event_reader.hpp"
#include "protocol/event.hpp"
#include "protocol/ids.hpp"
#include "protocol/json.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace sallyport::cli {

namespace {

using adapters::event_value;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view{} : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// "a.b" or "lines.0.sku".
event_value at_path(std::string_view json, std::string_view path) {
  while (true) {
    const auto dot = path.find('.');
    const auto step = path.substr(0, dot);
    event_value found;
    if (trimmed(json).starts_with('[')) {
      const auto items = adapters::items_of(json);
      std::size_t index = items.size();
      if (!step.empty() && step.size() < 10 && step.find_first_not_of("0123456789") == std::string_view::npos)
        index = std::stoul(std::string(step));
      if (index < items.size())
        found = items[index];
    } else {
      for (const auto& [key, value] : adapters::members_of(json))
        if (key == step)
          found = value;
    }
    if (found.is_missing() || dot == std::string_view::npos)
      return found;
    json = found.raw;
    path.remove_prefix(dot + 1);
  }
}

result<std::string> text_at(std::string_view json, const std::string& path) {
  const auto value = at_path(json, path);
  if (value.what == event_value::kind::string || value.what == event_value::kind::number)
    return value.text();
  return result<std::string>(errc::missing_attribute, value.is_missing()
                                                        ? "the record has no \"" + path + "\""
                                                        : "\"" + path + "\" of the record is neither text nor a number");
}

bool is_event(std::string_view json) {
  for (const auto& [key, value] : adapters::members_of(json))
    if (key == "specversion")
      return true;
  return false;
}

std::string stable_id(std::string_view json, std::uint64_t place) {
  char out[48];
  std::snprintf(out, sizeof out, "%llu-%016llx", static_cast<unsigned long long>(place),
                static_cast<unsigned long long>(hash_parts({json}).high));
  return out;
}

// A fault of the event at the byte of the record it was made from, where people can look for it.
error in_record(error e, std::size_t record_begins) {
  const std::string_view mark = "at byte ";
  const auto found = e.detail.find(mark);
  if (found == std::string::npos)
    return e;
  const auto digits = found + mark.size(), end = std::min(e.detail.find_first_not_of("0123456789", digits), e.detail.size());
  if (end == digits || end - digits > 15)
    return e;
  const auto byte = std::stoull(e.detail.substr(digits, end - digits));
  e.detail.replace(digits, end - digits, std::to_string(byte > record_begins ? byte - record_begins : 0));
  return e;
}

// The limits are the hub's to judge; here only the form is.
constexpr event_limits form_only{.event_bytes = 256u << 20, .events = 1, .depth = 512};

} // namespace

result<std::string> to_event(std::string_view json, std::uint64_t place, const wrap_rules& rules) {
  json = trimmed(json);
  if (is_event(json)) {
    if (auto parsed = parse_event(json, form_only); !parsed)
      return parsed.err();
    return std::string(json);
  }
  json_writer w;
  w.reserve(json.size() + 256);
  w.begin_object().field("specversion", "1.0");
  if (!rules.id.empty()) {
    w.field("id", rules.id);
  } else if (rules.id_from.empty()) {
    w.field("id", stable_id(json, place));
  } else {
    const auto id = text_at(json, rules.id_from);
    if (!id)
      return id.err();
    w.field("id", *id);
  }
  w.field("source", rules.source).field("type", rules.type).field("datacontenttype", "application/json");
  if (!rules.key_from.empty()) {
    const auto key = text_at(json, rules.key_from);
    if (!key)
      return key.err();
    w.field("partitionkey", *key);
  }
  w.key("data");
  const auto record_begins = w.view().size();
  w.raw(json).end_object();
  auto event = w.take();
  if (auto parsed = parse_event(event, form_only); !parsed)
    return in_record(parsed.err(), record_begins);
  // `1,"subject":"x"` would make a valid event, but is not JSON.
  if (raw_data(event) != json)
    return result<std::string>(errc::malformed_json, "more than one JSON value");
  return event;
}

input_reader::input_reader(int descriptor, std::string items) : descriptor_(descriptor), items_path_(std::move(items)) {}

result<input_reader::fill_state> input_reader::fill(int patience_ms) {
  if (ended_)
    return fill_state::end;
  pollfd waiting{descriptor_, POLLIN, 0};
  const int ready = ::poll(&waiting, 1, patience_ms);
  if (ready == 0)
    return fill_state::pause;
  if (ready < 0 && errno == EINTR)
    return fill_state::pause;
  // What has been taken goes, before more comes.
  buffer_.erase(0, at_);
  scanned_ -= std::min(scanned_, at_);
  at_ = 0;
  constexpr std::size_t step = 256 << 10;
  const auto had = buffer_.size();
  buffer_.resize(had + step);
  const auto n = ::read(descriptor_, buffer_.data() + had, step);
  buffer_.resize(had + (n > 0 ? static_cast<std::size_t>(n) : 0));
  if (n < 0)
    return errno == EINTR || errno == EAGAIN
             ? result<fill_state>(fill_state::pause)
             : result<fill_state>(errc::state_io, std::string("cannot read the input: ") + std::strerror(errno));
  bytes_ += static_cast<std::uint64_t>(n);
  ended_ = n == 0;
  return ended_ ? fill_state::end : fill_state::more;
}

result<void> input_reader::read_whole() {
  while (true) {
    const auto filled = fill(-1);
    if (!filled)
      return filled.err();
    if (*filled == fill_state::end)
      break;
  }
  whole_ = true;
  std::string_view list = buffer_;
  if (!items_path_.empty()) {
    const auto found = at_path(buffer_, items_path_);
    if (found.what != event_value::kind::array)
      return result<void>(errc::malformed_json, "the input has no array at \"" + items_path_ + "\"");
    list = found.raw;
  }
  const auto items = adapters::items_of(list);
  for (const auto& item : items)
    items_.push_back(item.raw);
  // items_of stops where the JSON does: only the closing bracket may be left.
  const auto rest =
    items.empty() ? trimmed(list).substr(1) : list.substr(static_cast<std::size_t>(items.back().raw.end() - list.begin()));
  if (trimmed(rest) != "]")
    return result<void>(errc::malformed_json, "the array ends, or breaks off, behind item " + std::to_string(items.size()));
  return {};
}

result<input_reader::state> input_reader::next(input_record& into, int patience_ms) {
  if (!begun_) {
    // Only the first character that is not blank tells lines from an array.
    auto first = std::string::npos;
    while (first == std::string::npos && !ended_) {
      const auto filled = fill(patience_ms);
      if (!filled)
        return filled.err();
      if (*filled == fill_state::pause)
        return state::pause;
      first = buffer_.find_first_not_of(" \t\r\n");
    }
    begun_ = true;
    if (!items_path_.empty() || (first != std::string::npos && buffer_[first] == '['))
      if (auto read = read_whole(); !read)
        return read.err();
  }
  if (whole_) {
    if (place_ == items_.size())
      return state::end;
    into = {std::string(items_[place_]), place_ + 1};
    ++place_;
    return state::record;
  }
  while (true) {
    auto end = buffer_.find('\n', std::max(at_, scanned_));
    if (end == std::string::npos) {
      scanned_ = buffer_.size();
      const auto filled = fill(patience_ms);
      if (!filled)
        return filled.err();
      if (*filled == fill_state::pause)
        return state::pause;
      if (*filled == fill_state::more)
        continue;
      if (at_ == buffer_.size())
        return state::end;
      end = buffer_.size(); // The last line need not be ended.
    }
    const auto line = trimmed(std::string_view(buffer_).substr(at_, end - at_));
    at_ = std::min(end + 1, buffer_.size());
    ++place_;
    if (line.empty())
      continue;
    into = {std::string(line), place_};
    return state::record;
  }
}

} // namespace sallyport::cli

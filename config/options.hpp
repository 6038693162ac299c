// Described option tables: every setting of a file is said once, and the reader, the example file and the manual all come from
// that line.
//
//   option(&hub_settings::session_ttl, "hub.session_ttl_ms", "How long an agent may be silent.", {.min = 1s, .max = 10min})
//
// The default is what the settings struct itself initialises the member to, so that a file and an embedder who fills the struct
// by hand start from the same values. Keys are dotted from the top of the file; everything before the last dot is the table it
// stands in. Numbers are whole, with their unit at the end of the name (_ms, _bytes, _percent): there is one way to write them.
//
// Tables are immutable once made; any thread.
#pragma once

#include "config/document.hpp"
#include "config/fault.hpp"
#include "protocol/assert.hpp"
#include "protocol/ids.hpp"
#include "protocol/time.hpp"

#include <concepts>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sallyport::config {

/// A value of an enum and the word a file says it with.
template <class T>
struct word {
  std::string_view text;
  T value;
};

/// What a value must be like, beside its type.
template <class T>
struct rules {
  std::optional<T> min = {}, max = {};
  bool required = false;
  bool secret = false;                      // The file holds a reference (config/secret.hpp); the struct gets the secret.
  std::vector<word<T>> words = {};          // For enums: every value that a file may name.
  std::string (*check)(const T&) = nullptr; // Says what is wrong with the value; empty: nothing. Must not repeat a secret.
  std::string_view example = {};            // A TOML literal, for the example file.
  bool usual = false;                       // Not required, but most people write it: the example file does.
};

/// The pieces of an option that do not depend on its type: what a manual prints.
struct option_doc {
  std::string key; // Dotted; "*" stands for a name chosen by the writer of the file.
  std::string text;
  std::string type;     // "whole number", "text", ...
  std::string allowed;  // "1000 to 600000", "allow, refuse"; may be empty.
  std::string fallback; // A TOML literal; empty when there is none.
  std::string example;
  bool required = false;
  bool secret = false;
  bool usual = false;
};

/// A table heading in example file and manual.
struct section_doc {
  std::string path; // "hub.limits"
  std::string text;
  bool repeated = false; // [[path]]
};

struct named_tables;

/// The erased form: one line of a table.
struct entry {
  option_doc doc;
  std::optional<section_doc> section; // A heading, and no option.
  /// Checks the value and puts it in its place; adds a fault otherwise. `shown` is the key as the file has it.
  std::function<void(void* settings, const node& value, const std::string& shown, fault_list&)> assign;
  std::shared_ptr<named_tables> tables; // Tables under names of the writer's choice, e.g. statement.NAME.
};

/// Reads and describes settings of any struct; see options_of for the form with types.
class option_list {
public:
  option_list() = default;
  option_list(std::string path, std::vector<entry> entries) : path_(std::move(path)), entries_(std::move(entries)) {}

  /// Reads a table that stands at this list's path (empty: the top of the file). Adds every fault: unknown keys with the nearest
  /// known one, wrong types, values out of range, missing ones. `leave` are members of the table that somebody else reads.
  /// `shown` is the path as the file has it, where names took the place of "*".
  void read(void* settings, const node& table, fault_list& faults, const std::vector<std::string>& leave = {}) const;
  void read_at(void* settings, const node& table, const std::string& shown, fault_list& faults,
               const std::vector<std::string>& leave = {}) const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::vector<entry>& entries() const { return entries_; }

private:
  void read_table(void* settings, const node& table, const std::string& pattern, const std::string& shown, fault_list& faults,
                  const std::vector<std::string>& leave) const;

  std::string path_;
  std::vector<entry> entries_;
};

struct named_tables {
  option_list list;                                                   // Its path ends in ".*".
  std::function<void*(void* settings, const std::string& name)> make; // The struct for a new name.
};

// ---- how values of each type are read and written ----------------------------------------------------------------

template <class T>
struct is_name : std::false_type {};
template <class Tag>
struct is_name<name_of<Tag>> : std::true_type {};

/// A fault, unless the value is of the kind.
bool expect(node::kind kind, const node& value, const std::string& shown, fault_list& faults);
/// The number, if it is one and between the two.
std::optional<std::int64_t> read_integer(const node& value, std::int64_t min, std::int64_t max, const std::string& shown,
                                         fault_list&);
/// The secret that a reference leads to (config/secret.hpp).
std::optional<std::string> read_secret(const node& value, const std::string& shown, fault_list& faults);
std::optional<std::vector<std::string>> read_texts(const node& value, const std::string& shown, fault_list& faults);
/// A table of texts under names of the writer's choice.
using text_map = std::map<std::string, std::string>;
std::optional<text_map> read_text_map(const node& value, bool secret, const std::string& shown, fault_list& faults);
void add_unknown_word(const node& value, const std::vector<std::string>& known, const std::string& shown, fault_list& faults);

template <class T>
constexpr bool is_whole = std::integral<T> && !std::same_as<T, bool>;

template <class T>
std::int64_t count_of(const T& v) {
  if constexpr (std::same_as<T, milliseconds>)
    return v.count();
  else if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8)
    return v > T(std::numeric_limits<std::int64_t>::max()) ? std::numeric_limits<std::int64_t>::max()
                                                           : static_cast<std::int64_t>(v);
  else
    return static_cast<std::int64_t>(v);
}

template <class T>
std::optional<T> read_value(const node& value, const rules<T>& r, const std::string& shown, fault_list& faults) {
  if constexpr (std::same_as<T, bool>) {
    if (!expect(node::kind::boolean, value, shown, faults))
      return std::nullopt;
    return value.boolean;
  } else if constexpr (is_whole<T> || std::same_as<T, milliseconds>) {
    std::int64_t low = 0, high = std::numeric_limits<std::int64_t>::max();
    if constexpr (is_whole<T>) {
      low = count_of(std::numeric_limits<T>::min());
      high = count_of(std::numeric_limits<T>::max());
    }
    const auto n = read_integer(value, r.min ? count_of(*r.min) : low, r.max ? count_of(*r.max) : high, shown, faults);
    return n ? std::optional<T>(T(*n)) : std::nullopt;
  } else if constexpr (std::same_as<T, std::string>) {
    if (r.secret)
      return read_secret(value, shown, faults);
    if (!expect(node::kind::text, value, shown, faults))
      return std::nullopt;
    return value.text;
  } else if constexpr (std::same_as<T, std::vector<std::string>>) {
    return read_texts(value, shown, faults);
  } else if constexpr (std::same_as<T, text_map>) {
    return read_text_map(value, r.secret, shown, faults);
  } else if constexpr (is_name<T>::value) {
    if (!expect(node::kind::text, value, shown, faults))
      return std::nullopt;
    if (!is_valid_name(value.text)) {
      faults.add(value.line, shown, "\"" + value.text + "\" is not a name",
                 "write 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit");
      return std::nullopt;
    }
    return T{value.text};
  } else {
    static_assert(std::is_enum_v<T>, "no reader for this type");
    if (!expect(node::kind::text, value, shown, faults))
      return std::nullopt;
    std::vector<std::string> known;
    for (const auto& w : r.words) {
      if (w.text == value.text)
        return w.value;
      known.emplace_back(w.text);
    }
    add_unknown_word(value, known, shown, faults);
    return std::nullopt;
  }
}

template <class T>
std::string type_name(const rules<T>& r) {
  if constexpr (std::same_as<T, bool>)
    return "true or false";
  else if constexpr (is_whole<T> || std::same_as<T, milliseconds>)
    return "whole number";
  else if constexpr (std::same_as<T, std::vector<std::string>>)
    return "list of texts";
  else if constexpr (std::same_as<T, text_map>)
    return r.secret ? "table of secret references" : "table of texts";
  else if constexpr (is_name<T>::value)
    return "name";
  else if constexpr (std::is_enum_v<T>)
    return "word";
  else
    return r.secret ? "secret reference" : "text";
}

template <class T>
std::string literal(const T& v, const rules<T>& r) {
  if constexpr (std::same_as<T, bool>) {
    return v ? "true" : "false";
  } else if constexpr (is_whole<T> || std::same_as<T, milliseconds>) {
    return std::to_string(count_of(v));
  } else if constexpr (std::same_as<T, std::vector<std::string>>) {
    std::string out = "[";
    for (std::size_t i = 0; i < v.size(); ++i)
      out += (i ? ", " : "") + quote_toml(v[i]);
    return out + "]";
  } else if constexpr (std::same_as<T, text_map>) {
    return v.empty() ? "{}" : std::string();
  } else if constexpr (is_name<T>::value) {
    return v.empty() ? std::string() : quote_toml(v.value);
  } else if constexpr (std::is_enum_v<T>) {
    for (const auto& w : r.words)
      if (w.value == v)
        return quote_toml(w.text);
    return {};
  } else {
    return v.empty() ? std::string() : quote_toml(v);
  }
}

template <class T>
std::string allowed(const rules<T>& r) {
  if constexpr (is_whole<T> || std::same_as<T, milliseconds>) {
    if (r.min && r.max)
      return std::to_string(count_of(*r.min)) + " to " + std::to_string(count_of(*r.max));
    if (r.min)
      return "at least " + std::to_string(count_of(*r.min));
    if (r.max)
      return "at most " + std::to_string(count_of(*r.max));
  }
  std::string out;
  for (const auto& w : r.words)
    out += (out.empty() ? "" : ", ") + std::string(w.text);
  return out;
}

// ---- the table as it is written ----------------------------------------------------------------

/// A line of the table of S.
template <class S>
struct entry_of : entry {};

/// Where in S the member lies: of(&hub_settings::limits, &hub_limits::head_bytes).
template <class S, class T>
struct place {
  std::function<T&(S&)> in;
};
template <class S, class M, class T>
place<S, T> of(M S::*outer, T M::*inner) {
  return {[outer, inner](S& s) -> T& { return s.*outer.*inner; }};
}
template <class S, class M, class N, class T>
place<S, T> of(M S::*outer, N M::*middle, T N::*inner) {
  return {[outer, middle, inner](S& s) -> T& { return s.*outer.*middle.*inner; }};
}

template <class T>
struct without_optional {
  using type = T;
};
template <class T>
struct without_optional<std::optional<T>> {
  using type = T;
};
template <class T>
using value_of = typename without_optional<T>::type;

template <class S, class T>
entry_of<S> option(place<S, T> where, std::string key, std::string text, std::type_identity_t<rules<value_of<T>>> r = {}) {
  // A duration without its unit in the name would be read wrong by somebody.
  SALLYPORT_ASSERT((!std::same_as<value_of<T>, milliseconds>) || key.ends_with("_ms"));
  entry_of<S> e;
  S fresh{};
  std::string fallback;
  if constexpr (std::same_as<T, value_of<T>>)
    fallback = literal(where.in(fresh), r);
  e.doc = {std::move(key),
           std::move(text),
           type_name(r),
           allowed(r),
           r.required || r.secret ? std::string() : std::move(fallback),
           std::string(r.example),
           r.required,
           r.secret,
           r.usual || r.required};
  e.assign = [where, r](void* settings, const node& value, const std::string& shown, fault_list& faults) {
    auto read = read_value(value, r, shown, faults);
    if (!read)
      return;
    if (r.check != nullptr) {
      if (auto wrong = r.check(*read); !wrong.empty())
        return faults.add(value.line, shown, std::move(wrong));
    }
    where.in(*static_cast<S*>(settings)) = std::move(*read);
  };
  return e;
}

template <class S, class T>
entry_of<S> option(T S::*member, std::string key, std::string text, std::type_identity_t<rules<value_of<T>>> r = {}) {
  return option(place<S, T>{[member](S& s) -> T& { return s.*member; }}, std::move(key), std::move(text), std::move(r));
}

template <class S>
entry_of<S> section(std::string path, std::string text, bool repeated = false) {
  entry_of<S> e;
  e.section = section_doc{std::move(path), std::move(text), repeated};
  return e;
}

/// The table of S, read at `path`.
template <class S>
class options_of {
public:
  options_of(std::string path, std::vector<entry_of<S>> entries)
    : list_(std::move(path),
            std::vector<entry>(std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()))) {}

  void read(S& into, const node& table, fault_list& faults, const std::vector<std::string>& leave = {}) const {
    list_.read(&into, table, faults, leave);
  }
  [[nodiscard]] const option_list& list() const { return list_; }

private:
  option_list list_;
};

/// Tables under names of the writer's choice: [connection.sql.statement.NAME]. `make` finds room for a new one in S.
template <class S, class T>
entry_of<S> tables(std::function<T&(S&, const std::string& name)> make, const options_of<T>& of_each) {
  entry_of<S> e;
  e.tables = std::make_shared<named_tables>();
  e.tables->list = of_each.list();
  e.tables->make = [make](void* settings, const std::string& name) -> void* { return &make(*static_cast<S*>(settings), name); };
  return e;
}

// ---- checks that several programs share; each says what is wrong, or nothing ----------------------------------

[[nodiscard]] std::string check_listen(const std::string& address); // host:port
[[nodiscard]] std::string check_hub_url(const std::string& url);    // https, or http to this machine
[[nodiscard]] std::string check_hub_urls(const std::vector<std::string>& urls);
[[nodiscard]] std::string check_proxy_url(const std::string& url); // http://host:port
[[nodiscard]] std::string check_readable(const std::string& path);

/// The file with every option in it: required ones to be filled in, the others as comments that show the default.
[[nodiscard]] std::string example_of(const option_list& list);
/// Markdown: one table per section.
[[nodiscard]] std::string reference_of(const option_list& list);

} // namespace sallyport::config

#include "examples/quickstart/records.hpp"

#include "protocol/json.hpp"

#include <simdjson.h>

#include <algorithm>

namespace quickstart {

using sallyport::errc;
using sallyport::result;

const std::vector<dataset>& datasets() {
  static const std::vector<dataset> all = {
    {"iso_639-3.json",
     "639-3",
     "languages",
     "iso.language",
     {"alpha_3", "name", "scope", "type", "alpha_2", "bibliographic", "common_name", "inverted_name"}},
    {"iso_3166-2.json", "3166-2", "subdivisions", "iso.subdivision", {"code", "name", "type", "parent"}},
  };
  return all;
}

sallyport::digest128 content_of(const dataset& set, const fields& values) {
  std::string text;
  for (const auto& column : set.columns)
    if (const auto found = values.find(column); found != values.end())
      text += column + '=' + std::to_string(found->second.size()) + ':' + found->second + ';';
  return sallyport::hash_parts({set.table, text});
}

namespace {

result<void> read_dataset(const dataset& set, const std::string& folder, std::vector<record>& out) {
  const std::string path = folder + '/' + set.file;
  simdjson::dom::parser parser;
  simdjson::dom::array list;
  if (const auto e = parser.load(path)[set.root].get(list))
    return {errc::malformed_json, "reading " + path + ": " + simdjson::error_message(e)};
  for (const auto item : list) {
    fields values;
    for (const auto member : simdjson::dom::object(item)) {
      const std::string name(member.key);
      if (std::find(set.columns.begin(), set.columns.end(), name) == set.columns.end())
        return {errc::invalid_attribute,
                path + " has a field \"" + name + "\" that the table " + set.table + " has no column for"};
      values.emplace(name, std::string_view(member.value));
    }
    out.push_back({&set, values[set.columns.front()], simdjson::minify(item), content_of(set, values)});
  }
  return {};
}

} // namespace

result<std::vector<record>> read_records(const std::string& folder) {
  std::vector<record> records;
  for (const auto& set : datasets()) {
    try {
      if (auto read = read_dataset(set, folder, records); !read)
        return read.err();
    } catch (const simdjson::simdjson_error& e) { // A field that is no string, a record that is no object.
      return {errc::malformed_json, "reading " + folder + '/' + set.file + ": " + e.what()};
    }
  }
  return records;
}

std::string event_of(const record& r) {
  sallyport::json_writer w;
  w.begin_object()
    .field("specversion", "1.0")
    .field("source", "/iso-codes/" + r.set->file)
    .field("id", r.key)
    .field("type", r.set->event_type)
    .field("datacontenttype", "application/json")
    .key("data")
    .raw(r.json)
    .end_object();
  return w.take();
}

} // namespace quickstart

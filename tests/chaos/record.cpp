#include "tests/chaos/record.hpp"

#include "protocol/json.hpp"

#include <stdexcept>

namespace sallyport::chaos {

std::string_view to_string(queue q) {
  switch (q) {
    case queue::sql: return "sql";
    case queue::file: return "file";
    case queue::http: return "http";
    case queue::hand: return "hand";
  }
  return "?";
}

std::string_view to_string(ending e) {
  switch (e) {
    case ending::ok: return "ok";
    case ending::fail: return "fail";
    case ending::unknown: return "unknown";
  }
  return "?";
}

namespace {

std::int64_t ms_since(clock::time_point began) {
  return std::chrono::duration_cast<milliseconds>(clock::now() - began).count();
}

} // namespace

record::record(const std::string& path, clock::time_point began) : began_(began), out_(path) {
  if (!out_)
    throw std::runtime_error("cannot write the record " + path);
}

std::uint64_t record::invoke(std::string_view client, std::string_view what, std::string_view on, unsigned weight) {
  const auto number = ++numbers_;
  json_writer w;
  w.begin_object()
    .field("ms", ms_since(began_))
    .field("op", number)
    .field("client", client)
    .field("invoke", what)
    .field("on", on)
    .field("weight", weight)
    .end_object();
  line(w.take());
  return number;
}

void record::end(std::uint64_t number, ending e, std::string_view told, unsigned weight) {
  (e == ending::ok ? counted.ok : e == ending::fail ? counted.failed : counted.unknown) += weight;
  json_writer w;
  w.begin_object().field("ms", ms_since(began_)).field("op", number).field("end", to_string(e)).field("told", told).end_object();
  line(w.take());
}

void record::note(std::string_view who, std::string_view what) {
  json_writer w;
  w.begin_object().field("ms", ms_since(began_)).field("who", who).field("note", what).end_object();
  line(w.take());
}

void record::violate(std::string law, std::string what) {
  note("violation of " + law, what);
  const std::lock_guard lock(mutex_);
  violations_.push_back({std::move(law), std::move(what)});
}

void record::line(const std::string& text) {
  const std::lock_guard lock(mutex_);
  out_ << text << '\n';
}

} // namespace sallyport::chaos

#include "bench/harness/event.hpp"

#include <algorithm>
#include <stdexcept>

namespace sallyport::bench {

namespace {

constexpr std::string_view before_number = R"({"specversion":"1.0","id":")";
constexpr std::string_view before_due =
  R"(","source":"/bench","type":"com.example.bench","datacontenttype":"application/json","data":{"due":")";
constexpr std::string_view before_filler = R"(","text":")";
constexpr std::string_view after_filler = R"("}})";
constexpr std::size_t digits = 20;
constexpr std::size_t number_at = before_number.size();
constexpr std::size_t due_at = number_at + digits + before_due.size();
constexpr std::size_t filler_at = due_at + digits + before_filler.size();
static_assert(filler_at + after_filler.size() <= event_bytes_min);

void write_digits(char* to, std::uint64_t n) {
  for (auto i = digits; i-- > 0; n /= 10)
    to[i] = static_cast<char>('0' + n % 10);
}

std::uint64_t read_digits(std::string_view event, std::size_t at) {
  std::uint64_t n = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    if (event[i] < '0' || event[i] > '9')
      throw std::runtime_error("a consumer got what no producer sent: " + std::string(event.substr(0, 120)));
    n = n * 10 + static_cast<std::uint64_t>(event[i] - '0');
  }
  return n;
}

} // namespace

event_maker::event_maker(std::size_t bytes) {
  text_.append(before_number).append(digits, '0').append(before_due).append(digits, '0').append(before_filler);
  const auto filler = std::max(bytes, event_bytes_min) - text_.size() - after_filler.size();
  for (std::size_t i = 0; i < filler; ++i)
    text_ += static_cast<char>('a' + i % 26);
  text_.append(after_filler);
}

std::string_view event_maker::make(std::uint64_t number, std::uint64_t due_ns) {
  write_digits(text_.data() + number_at, number);
  write_digits(text_.data() + due_at, due_ns);
  return text_;
}

std::string_view data_of(std::string_view event) {
  constexpr auto begin = due_at - std::string_view(R"({"due":")").size();
  if (event.size() < filler_at)
    throw std::runtime_error("a consumer got what no producer sent: " + std::string(event));
  return event.substr(begin, event.size() - begin - 1);
}

event_stamp stamp_of(std::string_view event) {
  if (event.size() < filler_at)
    throw std::runtime_error("a consumer got what no producer sent: " + std::string(event));
  return {read_digits(event, number_at), read_digits(event, due_at)};
}

} // namespace sallyport::bench

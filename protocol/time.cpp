#include "protocol/time.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace sallyport {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

// Takes fixed-width pieces off the front; once something does not fit, everything after fails too.
class time_text {
public:
  explicit time_text(std::string_view text) : rest_(text) {}

  unsigned digits(std::size_t width, unsigned most) {
    unsigned n = 0;
    if (rest_.size() < width)
      return fail();
    for (auto c : rest_.substr(0, width)) {
      if (c < '0' || c > '9')
        return fail();
      n = n * 10 + static_cast<unsigned>(c - '0');
    }
    rest_.remove_prefix(width);
    return n <= most ? n : fail();
  }
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c))
      fail();
  }
  // ".123456" as milliseconds, the rest cut off.
  milliseconds fraction() {
    if (!take('.'))
      return {};
    int ms = 0, seen = 0;
    for (; !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; rest_.remove_prefix(1), ++seen)
      if (seen < 3)
        ms = ms * 10 + (rest_[0] - '0');
    if (seen == 0)
      fail();
    for (; seen < 3; ++seen)
      ms *= 10;
    return milliseconds{ms};
  }
  bool ended_well() const { return ok_ && rest_.empty(); }

private:
  unsigned fail() {
    ok_ = false;
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

} // namespace

std::string to_rfc3339(wall_time t) {
  using namespace std::chrono;
  // RFC 3339 has four digits for the year; nothing of ours lies outside, but a wrong clock must not make us write nonsense.
  t = std::clamp(t, wall_time{sys_days{year{0} / January / 1}}, wall_time{sys_days{year{10000} / January / 1}} - milliseconds{1});
  const auto day = floor<days>(t);
  const year_month_day date{day};
  const hh_mm_ss<milliseconds> time{t - day};
  std::array<char, 32> buffer;
  const auto n =
    std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", int{date.year()}, unsigned{date.month()},
                  unsigned{date.day()}, static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return {buffer.data(), static_cast<std::size_t>(n)};
}

std::optional<wall_time> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  time_text in{text};
  const auto y = in.digits(4, 9999);
  in.expect('-');
  const auto m = in.digits(2, 12);
  in.expect('-');
  const auto d = in.digits(2, 31);
  if (!in.take('t'))
    in.expect('T');
  const auto h = in.digits(2, 23);
  in.expect(':');
  const auto min = in.digits(2, 59);
  in.expect(':');
  const auto s = in.digits(2, 59); // A leap second has no place in Unix time: which second would it be?
  const auto fraction = in.fraction();
  minutes offset{};
  if (!in.take('Z') && !in.take('z')) {
    const int sign = in.take('-') ? -1 : 1;
    if (sign == 1)
      in.expect('+');
    const auto off_h = in.digits(2, 23);
    in.expect(':');
    const auto off_m = in.digits(2, 59);
    offset = sign * (hours{off_h} + minutes{off_m});
  }
  const year_month_day date{year{static_cast<int>(y)}, month{m}, day{d}};
  if (!in.ended_well() || !date.ok())
    return std::nullopt;
  return wall_time{sys_days{date}} + hours{h} + minutes{min} + seconds{s} + fraction - offset;
}

} // namespace sallyport

#include "bench/harness/plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace sallyport::bench {

namespace {

constexpr const char* ground = "#fcfcfa";
constexpr const char* ink = "#222222";
constexpr const char* faint = "#d9d9d6";
constexpr const char* our_colour = "#0072b2";
constexpr std::array palette{"#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7a6a00", "#8c4a8c", "#5b7f95"};
constexpr std::array dashes{"", "7 3", "2 3", "9 3 2 3", "12 4"};

std::string fixed(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

// One element after another; attributes are ours, text is anybody's.
class canvas {
public:
  canvas(double width, double height, const std::string& title) {
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + fixed(width) + "\" height=\"" + fixed(height)
           + "\" viewBox=\"0 0 " + fixed(width) + " " + fixed(height)
           + "\" role=\"img\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"" + ink + "\">\n<title>"
           + xml_text(title) + "</title>\n<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
           + "patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#e4e4e0\"/><rect width=\"2\" height=\"6\" "
             "fill=\"#8a8a86\"/>"
           + "</pattern></defs>\n<rect width=\"" + fixed(width) + "\" height=\"" + fixed(height) + "\" rx=\"6\" fill=\"" + ground
           + "\"/>\n";
    text(16, 26, title, "font-size=\"16\" font-weight=\"bold\"");
  }

  void text(double x, double y, const std::string& what, const std::string& more = {}) {
    out_ += "<text x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" " + more + ">" + xml_text(what) + "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const std::string& stroke, double width = 1,
            const std::string& more = {}) {
    out_ += "<line x1=\"" + fixed(x1) + "\" y1=\"" + fixed(y1) + "\" x2=\"" + fixed(x2) + "\" y2=\"" + fixed(y2) + "\" stroke=\""
            + stroke + "\" stroke-width=\"" + fixed(width) + "\" " + more + "/>\n";
  }
  void rect(double x, double y, double w, double h, const std::string& fill) {
    out_ += "<rect x=\"" + fixed(x) + "\" y=\"" + fixed(y) + "\" width=\"" + fixed(w) + "\" height=\"" + fixed(h) + "\" fill=\""
            + fill + "\"/>\n";
  }
  void add(const std::string& element) { out_ += element + "\n"; }
  std::string end() { return out_ + "</svg>\n"; }

private:
  std::string out_;
};

double width_of(const std::string& text) {
  return 7.2 * static_cast<double>(text.size()); // Generous for 13 px Helvetica.
}

struct look {
  std::string colour, dash;
  std::size_t mark;
  double width;
};

// Ticks are round: no digits that say nothing.
std::string tick_text(double value) {
  if (std::abs(value) >= 1'000 || value == 0)
    return readable(value);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

look look_of(const plot_line& l) {
  if (l.ours)
    return {our_colour, "", 0, 3};
  return {palette[l.style % palette.size()], dashes[l.style % dashes.size()], 1 + l.style % 4, 1.6};
}

std::string mark_at(double x, double y, const look& l, bool hollow = false) {
  const double r = 4.2;
  const auto fill = std::string(" fill=\"") + (hollow ? ground : l.colour) + "\" stroke=\"" + (hollow ? l.colour : ground)
                    + "\" stroke-width=\"" + (hollow ? "1.6" : "0.8") + "\"/>";
  const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
    std::string points;
    for (const auto& [dx, dy] : corners)
      points += fixed(x + dx) + "," + fixed(y + dy) + " ";
    return "<polygon points=\"" + points + "\"" + fill;
  };
  switch (l.mark) {
    case 1: return polygon({{-r, -r}, {r, -r}, {r, r}, {-r, r}});
    case 2: return polygon({{0, -r - 1}, {r + 1, r}, {-r - 1, r}});
    case 3: return polygon({{0, -r - 1}, {r + 1, 0}, {0, r + 1}, {-r - 1, 0}});
    case 4: return polygon({{-r - 1, -r}, {r + 1, -r}, {0, r + 1}});
    default: return "<circle cx=\"" + fixed(x) + "\" cy=\"" + fixed(y) + "\" r=\"" + fixed(r + 0.6) + "\"" + fill;
  }
}

// Where values of one axis stand.
class scale {
public:
  scale(double low, double high, bool log, double from, double to) : log_(log), from_(from), to_(to) {
    low_ = at(low), high_ = at(high);
    if (!(high_ > low_))
      high_ = low_ + 1;
  }
  [[nodiscard]] double operator()(double value) const { return from_ + (at(value) - low_) / (high_ - low_) * (to_ - from_); }

private:
  [[nodiscard]] double at(double value) const { return log_ ? std::log10(value) : value; }

  bool log_;
  double from_, to_, low_ = 0, high_ = 1;
};

} // namespace

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n') // The others have no place in XML, escaped or not.
          out += c;
    }
  }
  return out;
}

std::string readable(double value) {
  if (!std::isfinite(value))
    return "?";
  const auto size = std::abs(value);
  const int decimals = size == 0 || size >= 99.95 ? 0
                       : size >= 9.995            ? 1
                       : size >= 0.9995           ? 2
                                                  : std::min(9, 2 - static_cast<int>(std::floor(std::log10(size))));
  std::array<char, 400> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
  std::string text = buffer.data();
  const std::size_t digits_begin = text.starts_with('-') ? 1 : 0;
  auto at = std::min(text.find('.'), text.size());
  while (at > digits_begin + 3) {
    at -= 3;
    text.insert(at, ",");
  }
  return text;
}

std::vector<double> ticks(double low, double high, bool log) {
  std::vector<double> all;
  if (!(high >= low) || (log && low <= 0))
    return all;
  const double slack = 1e-9;
  if (log) {
    // With few powers of ten between the ends, 2 and 5 help; with many, some powers are enough.
    const auto powers = std::log10(high) - std::log10(low);
    const int step = powers > 7 ? 2 : 1;
    for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::log10(high) + slack; power += step)
      for (const double part : {1.0, 2.0, 5.0})
        if (const auto value = part * std::pow(10.0, power);
            (part == 1.0 || powers < 2.5) && value >= low * (1 - slack) && value <= high * (1 + slack))
          all.push_back(value);
    return all;
  }
  if (high == low)
    return {low};
  const auto rough = (high - low) / 5;
  const auto power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double part : {5.0, 2.0, 1.0})
    if (part * power >= rough * (1 - slack))
      step = part * power;
  for (auto n = std::ceil(low / step - slack); n * step <= high + step * slack; ++n)
    all.push_back(n == 0 ? 0 : n * step); // Not -0, which ceil() likes to answer.
  return all;
}

std::string bar_chart(const std::string& title, const std::string& unit, const std::vector<plot_bar>& bars) {
  constexpr double row = 30, thick = 18, top = 46, width = 860;
  double labels = 80, most = 0;
  for (const auto& b : bars) {
    labels = std::max(labels, width_of(b.label) + 28);
    most = std::max({most, b.value.middle, b.value.high});
  }
  if (most <= 0)
    most = 1;
  const double bottom = top + row * static_cast<double>(bars.size());
  const scale x(0, most, false, labels, width - 110);
  canvas c(width, bottom + 46, title);
  for (const auto tick : ticks(0, most, false)) {
    c.line(x(tick), top - 6, x(tick), bottom, faint);
    c.text(x(tick), bottom + 18, tick_text(tick), "text-anchor=\"middle\"");
  }
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const auto& b = bars[i];
    const auto middle = top + row * (static_cast<double>(i) + 0.5) - 3;
    c.text(labels - 10, middle + 5, b.label, std::string("text-anchor=\"end\"") + (b.ours ? " font-weight=\"bold\"" : ""));
    c.rect(labels, middle - thick / 2, std::max(0.0, x(b.value.middle) - labels), thick,
           b.ours   ? our_colour
           : b.pale ? "url(#hatch)"
                    : "#8a8a86");
    if (b.value.high > b.value.low) {
      c.line(x(b.value.low), middle, x(b.value.high), middle, ink, 1.4);
      for (const auto end : {b.value.low, b.value.high})
        c.line(x(end), middle - 4, x(end), middle + 4, ink, 1.4);
    }
    c.text(std::max(x(b.value.middle), x(b.value.high)) + 8, middle + 5, readable(b.value.middle),
           b.ours ? "font-weight=\"bold\"" : "");
  }
  c.line(labels, top - 6, labels, bottom, ink);
  c.text(labels, bottom + 38, unit, "fill=\"#555555\"");
  if (std::any_of(bars.begin(), bars.end(), [](const plot_bar& b) { return b.pale; }))
    c.text(width - 16, bottom + 38, "hatched: not durable", "text-anchor=\"end\" fill=\"#555555\"");
  return c.end();
}

std::string line_chart(const plot_axes& axes, const std::vector<plot_line>& lines) {
  constexpr double left = 84, top = 60, height = 470, bottom = height - 62, plot_width = 560;
  const auto shown = [&axes](const plot_line::point& p) {
    return std::isfinite(p.x) && std::isfinite(p.y.middle) && (!axes.x_log || p.x > 0) && (!axes.y_log || p.y.middle > 0);
  };
  double x_low = std::numeric_limits<double>::max(), x_high = std::numeric_limits<double>::lowest(), y_low = x_low,
         y_high = x_high, legend = 190;
  for (const auto& l : lines) {
    legend = std::max(legend, width_of(l.label + (l.pale ? " (not durable)" : "")));
    for (const auto& p : l.points)
      if (shown(p)) {
        x_low = std::min(x_low, p.x), x_high = std::max(x_high, p.x);
        y_low = std::min({y_low, p.y.middle, !axes.y_log || p.y.low > 0 ? p.y.low : p.y.middle});
        y_high = std::max({y_high, p.y.middle, p.y.high});
      }
  }
  if (x_low > x_high)
    x_low = y_low = axes.x_log || axes.y_log ? 1 : 0, x_high = y_high = 1;
  if (!axes.y_log)
    y_low = std::min(y_low, 0.0);
  else
    y_low *= 0.8, y_high *= 1.25;
  const scale x(x_low, x_high, axes.x_log, left + 14, left + plot_width - 14), y(y_low, y_high, axes.y_log, bottom, top);
  canvas c(left + plot_width + 56 + legend + 16, height, axes.title);
  for (const auto tick : ticks(y_low, y_high, axes.y_log)) {
    c.line(left, y(tick), left + plot_width, y(tick), faint);
    c.text(left - 8, y(tick) + 4, tick_text(tick), "text-anchor=\"end\"");
  }
  // Where somebody measured is where a number helps; an axis with many points gets round ones.
  std::vector<double> xs;
  for (const auto& l : lines)
    for (const auto& p : l.points)
      if (shown(p))
        xs.push_back(p.x);
  std::sort(xs.begin(), xs.end());
  xs.erase(std::unique(xs.begin(), xs.end()), xs.end());
  if (xs.size() > 8)
    xs = ticks(x_low, x_high, axes.x_log);
  for (const auto tick : xs) {
    c.line(x(tick), top, x(tick), bottom + 5, faint);
    c.text(x(tick), bottom + 20, tick_text(tick), "text-anchor=\"middle\"");
  }
  c.line(left, top, left, bottom, ink);
  c.line(left, bottom, left + plot_width, bottom, ink);
  c.text(left - 68, top - 14, axes.y_title, "fill=\"#555555\"");
  c.text(left + plot_width / 2, bottom + 44, axes.x_title, "text-anchor=\"middle\" fill=\"#555555\"");

  const double legend_x = left + plot_width + 20;
  bool any_hollow = false;
  const auto draw = [&](const plot_line& l, double legend_y) {
    const auto look = look_of(l);
    const auto stroke = "fill=\"none\" stroke=\"" + look.colour + "\" stroke-width=\"" + fixed(look.width) + "\""
                        + (look.dash.empty() ? "" : " stroke-dasharray=\"" + look.dash + "\"");
    std::string path;
    for (const auto& p : l.points)
      if (shown(p))
        path += (path.empty() ? "M" : " L") + fixed(x(p.x)) + " " + fixed(y(p.y.middle));
    if (!path.empty())
      c.add("<path d=\"" + path + "\" " + stroke + "/>");
    for (const auto& p : l.points)
      if (shown(p)) {
        if (p.y.high > p.y.low && (!axes.y_log || p.y.low > 0))
          c.line(x(p.x), y(p.y.low), x(p.x), y(p.y.high), look.colour, 1.2);
        c.add(mark_at(x(p.x), y(p.y.middle), look, p.hollow));
        any_hollow = any_hollow || p.hollow;
      }
    c.add("<path d=\"M" + fixed(legend_x) + " " + fixed(legend_y) + " h28\" " + stroke + "/>");
    c.add(mark_at(legend_x + 14, legend_y, look));
    c.text(legend_x + 36, legend_y + 4, l.label + (l.pale ? " (not durable)" : ""), l.ours ? "font-weight=\"bold\"" : "");
  };
  for (const bool ours : {false, true}) // Ours above the others, where they meet.
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (lines[i].ours == ours)
        draw(lines[i], top + 8 + 24 * static_cast<double>(i));
  if (any_hollow)
    c.text(legend_x, bottom + 44, "hollow: not comparable, see the table", "fill=\"#555555\"");
  return c.end();
}

} // namespace sallyport::bench

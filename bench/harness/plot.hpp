// Plots as SVG that needs nothing else: text of its own, no scripts, no references. A light ground of their own, so that they read the
// same on a dark page; colours that colour-blind people tell apart (Okabe and Ito), and a mark and a dash for those who tell none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::bench {

/// A value with the spread it was found in.
struct plot_value {
  double middle = 0, low = 0, high = 0;
};

struct plot_bar {
  std::string label;
  plot_value value;
  bool ours = false, pale = false; // Pale: in a class of its own (not durable); hatched.
};

/// Horizontal bars from 0, the spread as a whisker, the value at their end.
[[nodiscard]] std::string bar_chart(const std::string& title, const std::string& unit, const std::vector<plot_bar>& bars);

struct plot_line {
  struct point {
    double x = 0;
    plot_value y;
    bool hollow = false; // Not to be compared with the others; a footnote sends people to the table.
  };
  std::string label;
  std::vector<point> points; // In order of x.
  std::size_t style = 0;     // Which colour, mark and dash; the same number, the same look in every plot.
  bool ours = false, pale = false;
};

struct plot_axes {
  std::string title, x_title, y_title;
  bool x_log = false, y_log = false; // Values that are not above zero have no place on a logarithmic axis and are left out.
};
[[nodiscard]] std::string line_chart(const plot_axes& axes, const std::vector<plot_line>& lines);

/// Text for between tags and in attributes.
[[nodiscard]] std::string xml_text(std::string_view text);

/// A number for people: three digits that count, and commas between thousands: "104,233", "35.1", "0.0871".
[[nodiscard]] std::string readable(double value);

/// Values for an axis that shows low to high: few, round, within.
[[nodiscard]] std::vector<double> ticks(double low, double high, bool log);

} // namespace sallyport::bench

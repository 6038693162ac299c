#include "bench/harness/report.hpp"

#include "bench/harness/plot.hpp"
#include "protocol/json.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace sallyport::bench {

namespace {

constexpr const char* ours = "sallyport";

// The measurements of one workload, sorted into kinds, points and systems.
struct matter {
  const workload* what = nullptr;
  const findings* found = nullptr;
  std::vector<std::string> kinds;  // Drawn first, then as measured.
  std::vector<std::string> drawn;  // The first of them is the headline.
  std::vector<std::string> points; // On the axis, or as measured.
  std::vector<const system*> durable, others;

  [[nodiscard]] const measurement* at(const std::string& system, const std::string& point, const std::string& kind) const {
    return found->find(what->name, system, point, kind);
  }
  [[nodiscard]] const measurement* any(const std::string& kind) const {
    for (const auto& m : found->measurements)
      if (m.workload == what->name && m.what == kind)
        return &m;
    return nullptr;
  }
  [[nodiscard]] bool knows(const std::string& system, const std::string& kind) const {
    return std::any_of(points.begin(), points.end(), [&](const std::string& p) { return at(system, p, kind) != nullptr; });
  }
  [[nodiscard]] std::vector<std::string> points_of(const std::string& kind) const {
    std::vector<std::string> some;
    for (const auto& p : points)
      if (std::any_of(found->measurements.begin(), found->measurements.end(),
                      [&](const measurement& m) { return m.workload == what->name && m.what == kind && m.point == p; }))
        some.push_back(p);
    return some;
  }
  [[nodiscard]] std::string headline_point() const {
    for (const auto& wanted : what->headline_points)
      if (std::find(points.begin(), points.end(), wanted) != points.end())
        return wanted;
    return points.front();
  }
};

void add_once(std::vector<std::string>& to, const std::string& text) {
  if (std::find(to.begin(), to.end(), text) == to.end())
    to.push_back(text);
}

matter matter_of(const report_input& in, const workload& w) {
  matter m;
  m.what = &w;
  m.found = &in.found;
  std::vector<std::pair<double, std::string>> on_axis;
  for (const auto& each : in.found.measurements)
    if (each.workload == w.name) {
      add_once(m.kinds, each.what);
      if (std::find(m.points.begin(), m.points.end(), each.point) == m.points.end()) {
        m.points.push_back(each.point);
        on_axis.emplace_back(each.x, each.point);
      }
    }
  if (!w.x_title.empty()) {
    std::stable_sort(on_axis.begin(), on_axis.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    m.points.clear();
    for (const auto& [x, point] : on_axis)
      m.points.push_back(point);
  }
  for (const auto& kind : w.drawn)
    if (std::find(m.kinds.begin(), m.kinds.end(), kind) != m.kinds.end())
      m.drawn.push_back(kind);
  if (m.drawn.empty() && !m.kinds.empty())
    m.drawn.push_back(m.kinds.front());
  std::stable_partition(m.kinds.begin(), m.kinds.end(),
                        [&m](const std::string& k) { return std::find(m.drawn.begin(), m.drawn.end(), k) != m.drawn.end(); });
  for (const auto* s : in.systems)
    if (std::any_of(m.kinds.begin(), m.kinds.end(), [&](const std::string& k) { return m.knows(s->name, k); }))
      (s->durable ? m.durable : m.others).push_back(s);
  return m;
}

std::string spread(const measurement& m) {
  if (m.rounds.size() < 2)
    return {};
  const auto [low, high] = std::minmax_element(m.rounds.begin(), m.rounds.end());
  return "[" + readable(*low) + " .. " + readable(*high) + "]";
}

std::string times(double ratio) {
  return ratio > 0 ? readable(ratio) + " x" : "";
}

// In a table's cell nothing may look like its end.
std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '|' ? "\\|" : c == '\n' ? " " : std::string(1, c);
  return out;
}

std::string figure(const measurement* m) {
  if (m == nullptr)
    return "";
  auto text = readable(median(m->rounds));
  if (const auto s = spread(*m); !s.empty())
    text += " " + s;
  if (!m->mark.empty())
    text += " *" + m->mark + "*";
  return cell(text);
}

std::string row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const auto& c : cells)
    out += " " + c + " |";
  return out + "\n";
}

// The first column, and what is no figure, is text.
std::string head(const std::vector<std::string>& cells, const std::string& text_column = {}) {
  std::string out = row(cells) + "|---|";
  for (std::size_t i = 1; i < cells.size(); ++i)
    out += cells[i] == text_column ? "---|" : "---:|";
  return out + "\n";
}

std::string plot_name(const std::string& workload, const std::string& kind) {
  auto name = workload + "-" + kind;
  std::string out;
  for (const char c : name)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.')
      out += c;
    else if (!out.empty() && out.back() != '-')
      out += '-';
  return out + ".svg";
}

// Durable systems, then the others in a block of their own.
template <class Row>
std::string blocks(const matter& m, std::size_t columns, const std::string& kind, Row make) {
  std::string out;
  const auto some = [&](const std::vector<const system*>& of) {
    std::string rows;
    for (const auto* s : of)
      if (kind.empty() || m.knows(s->name, kind))
        rows += row(make(*s));
    return rows;
  };
  out += some(m.durable);
  if (const auto rows = some(m.others); !rows.empty()) {
    std::vector<std::string> mark(columns);
    mark.front() = "**not durable: acknowledged before it is on disk**";
    out += row(mark) + rows;
  }
  return out;
}

std::string name_of(const system& s) {
  return s.name == ours ? "**" + s.title + "**" : cell(s.title);
}

std::string section(const matter& m) {
  const auto& w = *m.what;
  std::string out = "## " + w.name + ": " + w.title + "\n\n" + w.text + "\n\n";
  if (m.kinds.empty())
    return out + "Nothing was measured; see the notes.\n\n";
  const bool one_point = m.points.size() == 1;
  for (const auto& kind : m.drawn)
    out += "![" + w.name + ", " + kind + "](" + plot_name(w.name, kind) + ")\n\n";

  for (const auto& kind : m.kinds) {
    const bool main = std::find(m.drawn.begin(), m.drawn.end(), kind) != m.drawn.end();
    if (one_point && !main)
      continue;
    const auto* like = m.any(kind);
    out += "**" + kind + ", " + like->unit + "** (" + (like->more_is_better ? "more is better" : "less is better") + ")\n\n";
    if (one_point) {
      out += head({"", "median", "lowest .. highest", "Sallyport is", "an acknowledge means"}, "an acknowledge means");
      out += blocks(m, 5, kind, [&](const system& s) -> std::vector<std::string> {
        const auto* mine = m.at(s.name, m.points.front(), kind);
        return {name_of(s), readable(median(mine->rounds)) + (mine->mark.empty() ? "" : " *" + cell(mine->mark) + "*"),
                spread(*mine), s.name == ours ? "" : times(times_better(m.at(ours, m.points.front(), kind), mine)),
                cell(s.durability)};
      });
    } else {
      const auto points = m.points_of(kind);
      std::vector<std::string> titles{""};
      titles.insert(titles.end(), points.begin(), points.end());
      out += head(titles);
      out += blocks(m, titles.size(), kind, [&](const system& s) {
        std::vector<std::string> cells{name_of(s)};
        for (const auto& p : points) {
          const auto* mine = m.at(s.name, p, kind);
          auto text = figure(mine);
          if (const auto ratio = s.name == ours ? 0 : times_better(m.at(ours, p, kind), mine); ratio > 0)
            text += " (" + times(ratio) + ")";
          cells.push_back(text);
        }
        return cells;
      });
    }
    out += "\n";
  }

  if (one_point && m.kinds.size() > m.drawn.size()) {
    std::vector<std::string> titles{""}, kinds;
    for (const auto& kind : m.kinds)
      if (std::find(m.drawn.begin(), m.drawn.end(), kind) == m.drawn.end()) {
        kinds.push_back(kind);
        titles.push_back(kind + ", " + m.any(kind)->unit);
      }
    out += "**And besides**\n\n" + head(titles);
    out += blocks(m, titles.size(), "", [&](const system& s) {
      std::vector<std::string> cells{name_of(s)};
      for (const auto& kind : kinds)
        cells.push_back(figure(m.at(s.name, m.points.front(), kind)));
      return cells;
    });
    out += "\n";
  }
  return out;
}

std::string version_of(const machine_facts& facts, const std::string& package) {
  for (const auto& [name, version] : facts.versions)
    if (name == package)
      return version;
  return "unknown";
}

// Of a system's packages, which are words.
std::string versions_of(const machine_facts& facts, const system& s) {
  std::string all, word;
  for (const char c : s.package + " ")
    if (c != ' ')
      word += c;
    else if (!word.empty()) {
      all += (all.empty() ? "" : ", ") + word + " " + version_of(facts, word);
      word.clear();
    }
  return all.empty() ? facts.build : all;
}

std::string sync_text(const sync_latency& l) {
  return "p50 " + readable(static_cast<double>(l.p50_ns) / 1e6) + " ms, p99 " + readable(static_cast<double>(l.p99_ns) / 1e6)
         + " ms";
}

std::string machine_section(const machine_facts& f) {
  std::string out = "## The machine\n\n| | |\n|---|---|\n";
  for (const auto& [name, value] : std::initializer_list<std::pair<std::string, std::string>>{
         {"date", f.date},
         {"Sallyport", f.build},
         {"processor",
          f.cpu + ", " + std::to_string(f.cores) + (f.cores == 1 ? " core" : " cores") + ", shared by all processes of a run"},
         {"memory", readable(static_cast<double>(f.memory_bytes) / 1e9) + " GB"},
         {"kernel", f.kernel},
         {"distribution", f.distribution},
         {"file system", f.file_system},
         {"4 KiB appended and fdatasync", sync_text(f.appended)},
         {"4 KiB overwritten and fdatasync", sync_text(f.overwritten)}})
    out += row({name, cell(value)});
  return out + "\n";
}

std::string systems_section(const report_input& in) {
  std::string out = "## The systems\n\nAll of them on 127.0.0.1, started "
                    + std::string(in.quick ? "once (W5 to W7: for each) " : "for each workload ")
                    + "over an empty folder. *Durable* means "
                      "that an acknowledge "
                      "implies that the message was synced to disk, by the settings used here.\n\n";
  for (const auto* s : in.systems) {
    out += "**" + s->title + "** (`" + s->name + "`), " + versions_of(in.facts, *s) + ", "
           + (s->durable ? "durable" : "*not durable*") + ". An acknowledge means: " + s->durability + ".\n";
    for (const auto& line : s->settings)
      out += "- " + line + "\n";
    out += "\n";
  }
  return out;
}

std::string targets_section(const findings& f) {
  if (f.targets.empty())
    return {};
  const auto met = std::count_if(f.targets.begin(), f.targets.end(), [](const target& t) { return t.met(); });
  std::string out = "## Targets\n\n" + std::to_string(met) + " of " + std::to_string(f.targets.size()) + " are met.\n\n";
  out += "| | what | wanted | got | met |\n|---|---|---:|---:|---|\n";
  for (const auto& t : f.targets)
    out += row({t.workload, cell(t.text), (t.at_least ? "at least " : "at most ") + readable(t.wanted), readable(t.got),
                t.met() ? "yes" : "**no**"});
  return out + "\n";
}

plot_value value_of(const measurement& m) {
  const auto [low, high] = std::minmax_element(m.rounds.begin(), m.rounds.end());
  return {median(m.rounds), *low, *high};
}

} // namespace

double times_better(const measurement* mine, const measurement* theirs) {
  if (mine == nullptr || theirs == nullptr || !mine->comparable || !theirs->comparable)
    return 0;
  const auto a = median(mine->rounds), b = median(theirs->rounds);
  if (!(a > 0) || !(b > 0))
    return 0;
  return mine->more_is_better ? a / b : b / a;
}

std::vector<std::pair<std::string, std::string>> report_plots(const report_input& in) {
  std::vector<std::pair<std::string, std::string>> plots;
  for (const auto* w : in.workloads) {
    const auto m = matter_of(in, *w);
    for (const auto& kind : m.drawn) {
      const auto unit = m.any(kind)->unit;
      const auto title = w->name + ": " + kind + ", median and spread";
      if (w->x_title.empty()) {
        std::vector<plot_bar> bars;
        for (const auto* of : {&m.durable, &m.others})
          for (const auto* s : *of)
            for (const auto& point : m.points)
              if (const auto* found = m.at(s->name, point, kind))
                bars.push_back({s->title + (point.empty() ? "" : ", " + point), value_of(*found), s->name == ours, !s->durable});
        plots.emplace_back(plot_name(w->name, kind), bar_chart(title, unit, bars));
        continue;
      }
      std::vector<plot_line> lines;
      double least = 0, most = 0;
      for (std::size_t i = 0; i < in.systems.size(); ++i) {
        const auto& s = *in.systems[i];
        plot_line l{s.title, {}, i, s.name == ours, !s.durable};
        for (const auto& point : m.points)
          if (const auto* found = m.at(s.name, point, kind)) {
            l.points.push_back({found->x, value_of(*found), !found->comparable});
            const auto y = l.points.back().y.middle;
            least = y > 0 && (least == 0 || y < least) ? y : least;
            most = std::max(most, y);
          }
        if (!l.points.empty())
          lines.push_back(std::move(l));
      }
      // On a linear axis what differs thirtyfold cannot be told from nothing.
      const bool y_log = least > 0 && most / least > 30;
      plots.emplace_back(plot_name(w->name, kind), line_chart({title, w->x_title, kind + ", " + unit, w->x_log, y_log}, lines));
    }
  }
  return plots;
}

std::string report_markdown(const report_input& in) {
  std::string out = "# Benchmark of " + in.facts.date + "\n\n";
  out +=
    std::string(in.quick ? "A quick run: short rounds, few of them; it shows the order of things. " : "")
    + "Systems take turns within a round; " + "figures are medians over " + (in.quick ? "up to " : "") + std::to_string(in.rounds)
    + " rounds, with the lowest and the highest in brackets. \"Sallyport is 3.1 x\" means: its figure is 3.1 times as good; "
      "below 1 the other is "
      "ahead. It took "
    + readable(in.minutes) + " minutes. All values: [results.json](results.json). What is asked, and how: bench/README.md.\n\n";
  out += targets_section(in.found) + machine_section(in.facts) + systems_section(in);
  for (const auto* w : in.workloads)
    out += section(matter_of(in, *w));
  if (!in.found.notes.empty()) {
    out += "## Notes\n\n";
    for (const auto& note : in.found.notes)
      out += "- " + cell(note) + "\n";
  }
  return out;
}

std::string report_json(const report_input& in) {
  json_writer w;
  const auto finite = [&w](double value) -> json_writer& { return std::isfinite(value) ? w.number(value) : w.null(); };
  const auto sync = [&w](const char* name, const sync_latency& l) {
    w.key(name).begin_object().field("p50_ns", l.p50_ns).field("p99_ns", l.p99_ns).end_object();
  };
  w.begin_object().field("quick", in.quick).field("rounds", in.rounds).key("minutes");
  finite(in.minutes);
  w.key("machine").begin_object();
  w.field("date", in.facts.date).field("build", in.facts.build).field("cores", in.facts.cores).field("cpu", in.facts.cpu);
  w.field("memory_bytes", in.facts.memory_bytes).field("kernel", in.facts.kernel).field("distribution", in.facts.distribution);
  w.field("file_system", in.facts.file_system);
  sync("fdatasync_appended", in.facts.appended);
  sync("fdatasync_overwritten", in.facts.overwritten);
  w.key("packages").begin_object();
  for (const auto& [package, version] : in.facts.versions)
    w.field(package, version);
  w.end_object().end_object();
  w.key("systems").begin_array();
  for (const auto* s : in.systems) {
    w.begin_object()
      .field("name", s->name)
      .field("title", s->title)
      .field("durable", s->durable)
      .field("durability", s->durability);
    w.field("versions", versions_of(in.facts, *s)).key("settings").begin_array();
    for (const auto& line : s->settings)
      w.string(line);
    w.end_array().end_object();
  }
  w.end_array().key("measurements").begin_array();
  for (const auto& m : in.found.measurements) {
    w.begin_object().field("workload", m.workload).field("system", m.system).field("point", m.point).key("x");
    finite(m.x);
    w.field("what", m.what).field("unit", m.unit).field("more_is_better", m.more_is_better).key("rounds").begin_array();
    for (const auto value : m.rounds)
      finite(value);
    w.end_array();
    if (!m.mark.empty())
      w.field("mark", m.mark);
    if (!m.comparable)
      w.field("comparable", false);
    w.end_object();
  }
  w.end_array().key("targets").begin_array();
  for (const auto& t : in.found.targets) {
    w.begin_object().field("workload", t.workload).field("text", t.text).field("at_least", t.at_least).key("wanted");
    finite(t.wanted);
    w.key("got");
    finite(t.got);
    w.field("met", t.met()).end_object();
  }
  w.end_array().key("notes").begin_array();
  for (const auto& note : in.found.notes)
    w.string(note);
  w.end_array().end_object();
  return w.take() + "\n";
}

std::string report_table(const report_input& in) {
  std::vector<std::vector<std::string>> rows{{"", "system", "durable", "figure", "median", "spread", "Sallyport is"}};
  for (const auto* w : in.workloads) {
    const auto m = matter_of(in, *w);
    if (m.kinds.empty())
      continue;
    const auto& kind = m.drawn.front();
    const auto point = m.headline_point();
    for (const auto* of : {&m.durable, &m.others})
      for (const auto* s : *of)
        if (const auto* found = m.at(s->name, point, kind))
          rows.push_back(
            {w->name, s->title, s->durable ? "yes" : "no", kind + (point.empty() ? "" : ", " + point),
             readable(median(found->rounds)) + " " + found->unit + (found->mark.empty() ? "" : " (" + found->mark + ")"),
             spread(*found), s->name == ours ? "" : times(times_better(m.at(ours, point, kind), found))});
  }
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& r : rows)
    for (std::size_t i = 0; i < r.size(); ++i)
      widths[i] = std::max(widths[i], r[i].size());
  std::string out;
  for (const auto& r : rows) {
    std::string line;
    for (std::size_t i = 0; i < r.size(); ++i) {
      const std::string gap(widths[i] - r[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (i < 4 ? r[i] + gap : gap + r[i]);
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  if (!in.found.targets.empty()) {
    const auto met = std::count_if(in.found.targets.begin(), in.found.targets.end(), [](const target& t) { return t.met(); });
    out += "\ntargets met: " + std::to_string(met) + " of " + std::to_string(in.found.targets.size()) + "\n";
    for (const auto& t : in.found.targets)
      if (!t.met())
        out += "not met: " + t.workload + " " + t.text + ": wanted " + (t.at_least ? "at least " : "at most ")
               + readable(t.wanted) + ", got " + readable(t.got) + "\n";
  }
  return out;
}

void write_report(const report_input& in, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  auto files = report_plots(in);
  files.emplace_back("report.md", report_markdown(in));
  files.emplace_back("results.json", report_json(in));
  for (const auto& [name, text] : files) {
    std::ofstream out(folder / name, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush())
      throw std::runtime_error("cannot write " + (folder / name).string());
  }
}

} // namespace sallyport::bench

#include "tests/support/strace_log.hpp"

#include "tests/support/process.hpp"
#include "tests/support/temp_dir.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <stdexcept>

namespace sallyport::testing {

namespace {

constexpr std::string_view unfinished = "<unfinished ...>", resumed = " resumed>";

/// C escapes as strace writes them: letters, and octal numbers of up to three digits.
std::string unescaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (c >= '0' && c <= '7') {
      unsigned value = 0;
      const auto end = std::min(i + 3, text.size());
      for (; i < end && text[i] >= '0' && text[i] <= '7'; ++i)
        value = value * 8 + static_cast<unsigned>(text[i] - '0');
      --i;
      out += static_cast<char>(value);
      continue;
    }
    constexpr std::string_view letters = "ntrvf", meant = "\n\t\r\v\f";
    const auto known = letters.find(c);
    out += known == letters.npos ? c : meant[known];
  }
  return out;
}

/// "9</tmp/store.mdb>", as an argument or a result.
bool read_descriptor(std::string_view text, int& fd, std::string& file) {
  const auto* const end = text.data() + text.size();
  const auto [digits_end, ec] = std::from_chars(text.data(), end, fd);
  if (ec != std::errc{} || digits_end == end || *digits_end != '<')
    return false;
  const std::string_view rest{digits_end + 1, static_cast<std::size_t>(end - digits_end - 1)};
  // A path may contain anything; what follows a descriptor may not.
  for (auto close = rest.find('>'); close != rest.npos; close = rest.find('>', close + 1))
    if (close + 1 == rest.size() || rest[close + 1] == ',' || rest[close + 1] == ')' || rest[close + 1] == ' ') {
      file = rest.substr(0, close);
      return true;
    }
  return false;
}

bool is_socket(const traced_call& c) {
  return c.file.starts_with("socket:");
}
bool is_write(const traced_call& c) {
  static const std::set<std::string, std::less<>> names{"write",    "writev",  "pwrite64", "pwritev",
                                                        "pwritev2", "sendmsg", "sendmmsg", "sendto"};
  return names.contains(c.name);
}
bool is_read(const traced_call& c) {
  static const std::set<std::string, std::less<>> names{"read", "readv", "recvfrom", "recvmsg", "recvmmsg"};
  return names.contains(c.name);
}
bool is_sync(const traced_call& c) {
  return c.name == "fdatasync" || c.name == "fsync";
}

bool contains_all(const std::string& text, const std::vector<std::string>& parts) {
  return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) { return text.find(part) != text.npos; });
}

const traced_call* arrival_of(const strace_log& log, const durable_question& about) {
  for (const auto& c : log.calls())
    if (is_read(c) && is_socket(c) && c.result.value_or(0) > 0 && c.arguments.find(about.request) != std::string::npos)
      return &c;
  return nullptr;
}
const traced_call* answer_of(const strace_log& log, const durable_question& about) {
  for (const auto& c : log.calls())
    if (is_write(c) && is_socket(c) && contains_all(c.arguments, about.answer))
      return &c;
  return nullptr;
}

std::string in_line(const traced_call& c) {
  return "line " + std::to_string(c.began);
}

} // namespace

strace_log::strace_log(std::string_view text) {
  std::map<int, std::size_t> open; // By thread: the call it is in.
  std::set<int> synced;            // Descriptors.
  std::size_t line_number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    ++line_number;

    int thread = 0;
    const auto [after_thread, ec] = std::from_chars(line.data(), line.data() + line.size(), thread);
    if (ec != std::errc{})
      continue;
    line.remove_prefix(static_cast<std::size_t>(after_thread - line.data()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));

    std::size_t index = calls_.size();
    std::string_view rest;
    if (line.starts_with("<... ")) {
      const auto begun = open.find(thread);
      const auto cut = line.find(resumed);
      if (begun == open.end() || cut == line.npos)
        continue;
      index = begun->second;
      open.erase(begun);
      rest = line.substr(cut + resumed.size());
    } else {
      const auto bracket = line.find('(');
      if (bracket == line.npos || bracket == 0 || line.substr(0, bracket).find_first_of(" +-<") != line.npos)
        continue;
      auto& c = calls_.emplace_back();
      c.thread = thread, c.name = line.substr(0, bracket), c.began = line_number;
      rest = line.substr(bracket + 1);
      if (read_descriptor(rest, c.fd, c.file))
        c.synced = synced.contains(c.fd);
      else
        c.fd = -1;
    }
    auto& c = calls_[index];
    if (rest.ends_with(unfinished)) {
      c.arguments += unescaped(rest.substr(0, rest.size() - unfinished.size()));
      open.emplace(thread, index);
      continue;
    }
    const auto equals = rest.rfind(" = ");
    c.arguments += unescaped(rest.substr(0, equals));
    if (equals == rest.npos)
      continue; // Cut off.
    const auto said = rest.substr(equals + 3);
    long result = 0;
    if (std::from_chars(said.data(), said.data() + said.size(), result).ec != std::errc{})
      continue; // "?": the process ended in it.
    c.result = result;
    c.ended = line_number;
    if ((c.name == "openat" || c.name == "open") && result >= 0) {
      const bool is_synced = c.arguments.find("O_DSYNC") != std::string::npos || c.arguments.find("O_SYNC") != std::string::npos;
      is_synced ? (void)synced.insert(static_cast<int>(result)) : (void)synced.erase(static_cast<int>(result));
    } else if (c.name == "close") {
      synced.erase(c.fd);
    }
  }
}

std::string why_not_durable(const strace_log& log, const durable_question& about) {
  const auto* request = arrival_of(log, about);
  if (!request)
    return "no request with \"" + about.request + "\" came over a socket";
  const auto* answer = answer_of(log, about);
  if (!answer)
    return "the request of " + in_line(*request) + " was never answered";
  const auto span = "the request came in " + in_line(*request) + ", its answer left in " + in_line(*answer);
  if (answer->began <= request->ended)
    return span + ": it was not waited for";

  const auto between = [&](const traced_call& c, std::size_t after) {
    return (c.file == about.store || (!about.journal.empty() && c.file == about.journal)) && c.began > after && c.ended != 0
           && c.ended < answer->began;
  };
  std::string missing = span + ": nothing of it was written to " + about.store + " in between";
  for (const auto& data : log.calls()) {
    if (!is_write(data) || data.synced || !between(data, request->ended) || *data.result <= 0
        || data.arguments.find(about.stored) == std::string::npos)
      continue;
    missing = span + ": what was written in " + in_line(data) + " was not synced in between";
    for (const auto& sync : log.calls()) {
      if (!is_sync(sync) || sync.file != data.file || !between(sync, data.ended) || *sync.result != 0)
        continue;
      if (data.file != about.store)
        return {};
      missing = span + ": after the sync of " + in_line(sync) + " no O_DSYNC write made it count";
      for (const auto& page : log.calls())
        if (is_write(page) && page.synced && page.file == about.store && between(page, sync.ended) && *page.result > 0)
          return {};
    }
  }
  return missing;
}

std::size_t commits_between(const strace_log& log, const std::vector<durable_question>& answers) {
  const auto* request = arrival_of(log, answers.at(0));
  std::size_t last = 0;
  for (const auto& a : answers)
    if (const auto* answer = answer_of(log, a))
      last = std::max(last, answer->began);
  return static_cast<std::size_t>(std::count_if(log.calls().begin(), log.calls().end(), [&](const traced_call& c) {
    const bool commits = (is_write(c) && c.synced && c.file == answers[0].store)
                         || (is_sync(c) && !answers[0].journal.empty() && c.file == answers[0].journal);
    return request && commits && c.began > request->ended && c.ended != 0 && c.ended < last;
  }));
}

std::optional<std::string> why_no_tracing() {
  const temp_dir folder;
  process strace{{{"strace", "-f", "-o", folder / "log", "--", "true"}, {}, folder / "out", folder / "err", {}, {}}};
  const auto end = strace.wait();
  if (end && end->signal == 0 && end->code == 0)
    return std::nullopt;
  auto said = strace.err();
  const auto mentions = [&](std::string_view word) { return said.find(word) != said.npos; };
  if (mentions("ptrace") || mentions("PTRACE") || mentions("Operation not permitted"))
    return said;
  throw std::runtime_error("strace does not work: " + said);
}

} // namespace sallyport::testing

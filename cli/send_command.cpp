#include "cli/commands.hpp"
#include "cli/report.hpp"
#include "cli/send_input.hpp"
#include "cli/sender.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

namespace sallyport::cli {

namespace {

using steady = std::chrono::steady_clock;

struct send_variables {
  hub_options hub;
  std::string group, connection, file = "-", items;
  wrap_rules wrap;
  std::uint64_t batch = 256, patience = 60;
  double rate = 0;
  bool skip_bad = false, quiet = false, ids = false;
};

// On a terminal only: a log wants the last line, not the way there.
class progress {
public:
  progress(bool wanted, std::uint64_t total_bytes) : shown_(wanted && ::isatty(STDERR_FILENO) == 1), total_(total_bytes) {}

  void show(const sent_totals& totals, std::uint64_t bytes, steady::time_point began) {
    const auto now = steady::now();
    if (!shown_ || now - last_ < std::chrono::milliseconds(100))
      return;
    last_ = now;
    const auto s = std::chrono::duration<double>(now - began).count();
    std::string bar;
    if (total_ > 0) {
      const auto part = std::min<std::uint64_t>(30, bytes * 30 / total_);
      bar = "[" + std::string(part, '#') + std::string(30 - part, '.') + "] ";
    }
    std::fprintf(stderr, "\r%s%llu sent, %.0f/s\x1b[K", bar.c_str(), static_cast<unsigned long long>(totals.sent()),
                 s > 0 ? static_cast<double>(totals.sent()) / s : 0.0);
  }
  void say(const std::string& line) {
    clear();
    std::fprintf(stderr, "%s\n", printable(line).c_str());
  }
  void clear() {
    if (shown_)
      std::fputs("\r\x1b[K", stderr);
  }

private:
  bool shown_;
  std::uint64_t total_;
  steady::time_point last_{};
};

class input_file {
public:
  explicit input_file(const std::string& path)
    : is_stdin_(path == "-"),
      fd_(is_stdin_ ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  input_file(const input_file&) = delete;
  input_file& operator=(const input_file&) = delete;
  ~input_file() {
    if (!is_stdin_ && fd_ >= 0)
      ::close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::uint64_t size() const {
    struct stat about = {};
    return fd_ >= 0 && ::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode) ? static_cast<std::uint64_t>(about.st_size) : 0;
  }

private:
  bool is_stdin_;
  int fd_;
};

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

class sending {
public:
  sending(send_variables v, ask_hub ask, std::string target, const input_file& file)
    : v_(std::move(v)),
      reader_(file.fd(), v_.items),
      progress_(!v_.quiet, file.size()),
      sender_({.target = std::move(target), .batch = v_.batch, .rate = v_.rate, .patience = seconds(v_.patience)},
              ports(std::move(ask))) {}

  exit_code run() {
    const auto code = read_and_send();
    progress_.clear();
    const auto& t = sender_.totals();
    std::printf("sent=%llu stored=%llu duplicates=%llu seconds=%.1f\n", static_cast<unsigned long long>(t.sent()),
                static_cast<unsigned long long>(t.stored), static_cast<unsigned long long>(t.duplicates),
                std::chrono::duration<double>(steady::now() - began_).count());
    return code;
  }

private:
  sender_ports ports(ask_hub ask) {
    sender_ports p;
    p.ask = std::move(ask);
    p.now = [] { return steady::now(); };
    p.sleep = [](milliseconds d) { std::this_thread::sleep_for(d); };
    p.on_retry = [this](const error& why, milliseconds wait) {
      progress_.say("sallyport send: " + to_string(why) + "; trying again in " + short_duration(wait));
    };
    if (v_.ids)
      p.on_stored = [](const wire::enqueued_item& item) {
        std::printf("%s %s %s%s\n", to_string(item.message).c_str(), printable(item.source).c_str(), printable(item.id).c_str(),
                    item.duplicate ? " duplicate" : "");
      };
    return p;
  }

  exit_code read_and_send() {
    // Short enough that what trickles in is not held back, long enough that a batch can gather.
    constexpr int gather_ms = 50;
    input_record record;
    while (true) {
      const auto state = reader_.next(record, gather_ms);
      if (!state)
        return ended(state.err());
      if (*state == input_reader::state::record) {
        auto event = to_event(record.json, record.place, v_.wrap);
        if (!event) {
          auto why = event.err();
          why.index = record.place;
          if (!v_.skip_bad)
            if (auto before = sender_.flush(); !before)
              return ended(before.err());
          if (!bad_record(why))
            return ended(why);
          continue;
        }
        if (auto added = sender_.add(std::move(*event), record.place); !added)
          return ended(added.err());
      } else if (auto flushed = sender_.flush(); !flushed) {
        return ended(flushed.err());
      }
      progress_.show(sender_.totals(), reader_.bytes_read(), began_);
      if (*state == input_reader::state::end)
        return skipped_ > 0 ? exit_code::partly : exit_code::ok;
    }
  }

  // True when it is left out and the rest is sent.
  bool bad_record(const error& why) {
    if (!v_.skip_bad)
      return false;
    ++skipped_;
    progress_.say("sallyport send: left out: " + placed(why));
    return true;
  }

  std::string placed(const error& why) const {
    auto plain = why;
    plain.index.reset();
    return why.index ? std::string(reader_.unit()) + " " + std::to_string(*why.index) + ": " + to_string(plain)
                     : to_string(plain);
  }

  exit_code ended(const error& why) {
    progress_.clear();
    auto said = placed(why);
    if (why.index)
      said += sender_.totals().sent() > 0
                ? "; what was before it is sent: put it right and run this again, nothing is stored twice"
                : "; nothing was sent";
    report("send", exit_code::failure, said);
    return sender_.totals().sent() > 0 ? exit_code::partly : exit_code_of(why.code);
  }

  send_variables v_;
  input_reader reader_;
  progress progress_;
  sender sender_;
  std::uint64_t skipped_ = 0;
  steady::time_point began_ = steady::now();
};

exit_code send(send_variables v) {
  const auto target = connection_path(v.group, v.connection, "/messages");
  if (!target)
    return report("send", exit_code::usage, target.err().detail);
  const auto ask = connect(v.hub);
  if (!ask)
    return report("send", exit_code::usage, ask.err().detail);
  const input_file file(v.file);
  if (file.fd() < 0)
    return report("send", exit_code::failure, "cannot open " + v.file + ": " + std::strerror(errno));
  if (v.wrap.source.empty())
    v.wrap.source = "sallyport-send/" + (v.file == "-" ? std::string("stdin") : base_name(v.file));
  return sending(std::move(v), *ask, *target, file).run();
}

} // namespace

void add_send_command(command& program) {
  auto v = std::make_shared<send_variables>();
  auto c = program.sub("send", "Send events, or plain JSON records, from a file or standard input.");
  c.argument("GROUP", v->group, "The group that reaches the local system.")
    .argument("CONNECTION", v->connection, "The local system.")
    .optional_argument("FILE", v->file, "Lines of JSON or one JSON array; - (the default) reads standard input.");
  add_hub_options(c, v->hub);
  c.option("--items PATH", v->items, "The file is one document; its records are the array at this path.")
    .option("--type TYPE", v->wrap.type, "Type of the events made from plain records (default: sallyport.record).")
    .option("--source SOURCE", v->wrap.source, "Their source (default: sallyport-send/FILE).")
    .option("--id-from PATH", v->wrap.id_from, "Where in a record its id is (default: its line and a hash of it).")
    .option("--key-from PATH", v->wrap.key_from, "Where in a record its partition key is: one key, one order.")
    .option("--batch N", v->batch, "Events of one request.", 1, 1000)
    .option("--rate N", v->rate, "Events per second (default: as fast as the hub takes them).", 0.01, 1e9)
    .option("--patience SECONDS", v->patience, "How long to try again while the hub is away or full.", 0, 1'000'000)
    .flag("--skip-bad", v->skip_bad, "Leave records out that cannot be sent, and say which.")
    .flag("--ids", v->ids, "Print the message's id for each event, as `sallyport explain` takes it.")
    .flag("--quiet", v->quiet, "No progress bar.")
    .examples(
      "  sallyport send plant-7 erp-db orders.ndjson --id-from number\n"
      "  sallyport send plant-7 erp-db languages.json --items 639-3 --id-from alpha_3 --rate 500\n"
      "  tail -F events.log | sallyport send plant-7 erp-db --source line-3\n"
      "Records that are CloudEvents are sent as they are. Sending again is safe: ids come out the same, and the hub stores an\n"
      "event of the same source and id once. The last line says sent=N stored=N duplicates=N seconds=S.")
    .runs([v] { return send(*v); });
}

} // namespace sallyport::cli

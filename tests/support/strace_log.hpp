// What strace saw a process ask of the kernel, and in which order: the proof that an answer left only after its disk had answered.
//
// Made by `strace -f -y`: threads, and the files behind descriptors. A line stands for the stop of a thread at a call's beginning or end,
// and strace writes it before the thread goes on. So a call that ends on an earlier line than another begins did end before it.
// Values only; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::testing {

struct traced_call {
  int thread = 0;
  std::string name;           // "fdatasync"
  int fd = -1;                // Its first argument, if that is a descriptor,
  std::string file;           // and what that was open on: a path, or "socket:[4711]".
  bool synced = false;        // The descriptor was opened with O_SYNC or O_DSYNC: a write through it ends on the disk.
  std::string arguments;      // As strace writes them, with the escapes in strings undone.
  std::optional<long> result; // Nothing: it never came back.
  std::size_t began = 0;      // Lines, from 1.
  std::size_t ended = 0;      // 0: never.
};

class strace_log {
public:
  /// Lines that are no calls (signals, exits) are passed over.
  explicit strace_log(std::string_view text);

  /// In the order in which they began.
  [[nodiscard]] const std::vector<traced_call>& calls() const { return calls_; }

private:
  std::vector<traced_call> calls_;
};

/// One request and its answer, and the store they are about.
struct durable_question {
  std::string request;             // Its last bytes contain this, and nothing else that comes over a socket does.
  std::vector<std::string> answer; // The first thing sent over a socket that contains all of these.
  std::string store;               // Path of the store's file.
  std::string stored;              // What must be among the bytes written to it; may be empty.
  std::string journal;             // Path of the journal before the store; empty: there is none.
};

/// Empty when the answer was durable; else what is missing, with the lines. Durable is an answer whose sending began after all of these,
/// in this order: the request had come; its bytes were written to the journal, or to the store; a sync of that file which began after that
/// had returned; and, for the store, a write through an O_DSYNC descriptor, of the page which makes them count, had returned.
[[nodiscard]] std::string why_not_durable(const strace_log& log, const durable_question& about);

/// How many commits there were between the request and the last of its answers: syncs of the journal, and writes of the store's page that
/// makes one count.
[[nodiscard]] std::size_t commits_between(const strace_log& log, const std::vector<durable_question>& answers);

/// Why strace may trace nothing here (a container without the right to ptrace); nothing when it may. Throws std::runtime_error when it
/// cannot be started or fails for any other reason.
[[nodiscard]] std::optional<std::string> why_no_tracing();

} // namespace sallyport::testing

// The shim between the store and the system: a shared object, preloaded, that defines the C library's writing calls. Of the files below
// one directory it writes down what they ask of the disk, and lets one of them fail. Everything else is passed on.
//
// One log per recording, in the order of the calls: a disk_record and its bytes, again and again. One process, one thread at a time; the
// log is whole up to the last call that returned, also when the process dies.
#pragma once

#include <cstdint>

namespace sallyport::crash {

enum class record_kind : std::uint8_t {
  write = 1,   // bytes at `at`
  resize,      // to `at` bytes; grows_only: never to fewer
  sync,        // what was written to the file before is on the disk
  sync_failed, // what was written before and is not on the disk may never get there, whatever a later sync says
  mapped,      // the file can be changed without a call from here on
  created,     // a name, for a new file
  renamed,     // two names, with a zero byte between them
  unlinked,    // a name
  made_directory,
  sync_directory, // the names in it are on the disk
  mark,           // not the disk's: what the process under test had to say
};

enum record_flag : std::uint8_t {
  through = 1, // O_DSYNC or O_SYNC: on the disk when the call returned
  grows_only = 2,
  never_kept = 4, // The call failed after the page cache had taken the bytes.
};

struct disk_record {
  record_kind kind{};
  std::uint8_t flags = 0;
  std::uint16_t reserved = 0;
  std::uint32_t file = 0; // From 1, in the order of their creation or first opening; a directory has none.
  std::uint32_t call = 0; // Of the calls that can fail, from 1; 0: another.
  std::uint32_t size = 0; // Of the bytes that follow. Names are relative to the directory under watch.
  std::uint64_t at = 0;
};

enum class fault_kind : std::uint8_t {
  none,
  io_error,      // EIO, and nothing was done.
  late_io_error, // EIO from a sync or a write through, with the bytes in the page cache and not on the disk.
  no_space,      // ENOSPC, and nothing was done.
  short_write,   // Half of it was written.
};

/// What the calls with these numbers meet. A disk that breaks stays broken: `calls` is how many fail in a row.
struct fault_plan {
  fault_kind what = fault_kind::none;
  std::uint32_t call = 0;
  std::uint32_t calls = 1;
};

/// Beside LMDB's flags: syncs of a file named store.journal are not made, and said to have been.
inline constexpr unsigned journal_not_synced = 1u << 31;

extern "C" {
/// Recording begins: files below `directory` (absolute), into `log`, which stays the caller's. `env_flags` are added to those that
/// LMDB's environments are opened with, but for journal_not_synced.
void sallyport_crash_begin(const char* directory, int log, const fault_plan* plan, unsigned env_flags);
/// Ends it, and says how many calls failed because the plan said so.
std::uint32_t sallyport_crash_end();
void sallyport_crash_mark(const char* text);
}

} // namespace sallyport::crash

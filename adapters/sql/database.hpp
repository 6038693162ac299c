// What the sql adapter needs of a database: to carry out a planned transaction. Owned by one adapter and used from its thread; only the
// interrupter is touched by others. A connection that broke is dropped and made anew by connect().
#pragma once

#include "adapters/sql/core/plan.hpp"

#include <atomic>
#include <chrono>
#include <memory>

namespace sallyport::adapters::sql {

/// Stops the running transaction from another thread, without blocking it. The file descriptor wakes those who poll.
class interrupter {
public:
  interrupter();
  ~interrupter();
  interrupter(const interrupter&) = delete;
  interrupter& operator=(const interrupter&) = delete;

  void raise() noexcept;
  void reset() noexcept;
  [[nodiscard]] bool raised() const noexcept { return raised_.load(std::memory_order_acquire); }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

private:
  std::atomic<bool> raised_{false};
  int descriptor_;
};

/// Until when a transaction may run. A reading of a clock, made by the session.
using deadline = std::chrono::steady_clock::time_point;
[[nodiscard]] milliseconds left_until(deadline until);

class database {
public:
  virtual ~database() = default;

  [[nodiscard]] virtual bool connected() const = 0;
  /// Nothing when it is connected now: what went wrong otherwise. Runs the setup and makes the inbox table.
  virtual std::optional<sql_failure> connect() = 0;
  /// Asks for a sign of life.
  virtual std::optional<sql_failure> ping(deadline until) = 0;
  /// Carries out the steps. After a lost connection connected() is false.
  virtual execution execute(const transaction& t, deadline until) = 0;
  virtual void disconnect() = 0;
};

[[nodiscard]] std::unique_ptr<database> make_sqlite(const settings& s, interrupter& stop);
[[nodiscard]] std::unique_ptr<database> make_postgresql(const settings& s, interrupter& stop);

/// Collects rows as a JSON value of the statement's shape, and says when it grows too large.
class row_collector {
public:
  explicit row_collector(result_kind shape) : shape_(shape) {}
  /// A row follows: a JSON object. False when it is one too many or too much.
  bool add(std::string_view row_json);
  [[nodiscard]] std::string take();
  [[nodiscard]] sql_failure fault() const;

private:
  result_kind shape_;
  std::string rows_;
  std::size_t count_ = 0;
  bool too_large_ = false;
};

} // namespace sallyport::adapters::sql

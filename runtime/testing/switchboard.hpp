// The line between transports and the in-process hub: slots, timeouts in stepped time, faults. Internal to runtime/testing.
//
//   transport::send ──▶ waiting in its slot ──▶ left (the hub has it) ──▶ decided ──▶ handed over by the courier
//                            └────────── timed out, cut, closed ────────────▲
//
// Shared by the hub, its factories and its transports, so that each may go first. Any thread; `mutex_` guards what is not the courier's.
#pragma once

#include "cloud/hub/api.hpp"
#include "cloud/hub/hub.hpp"
#include "runtime/core/transport.hpp"
#include "runtime/testing/hub.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace sallyport::testing {

/// One clock for both sides. Mono and wall move together.
class stepped_clock final : public runtime::time_source, public cloud::time_source {
public:
  explicit stepped_clock(wall_time start) : start_(start) {}
  instant now() override;
  [[nodiscard]] milliseconds longest_nap() const override { return milliseconds{5}; }
  void step(milliseconds by) { passed_ += by.count(); }

private:
  const wall_time start_;
  std::atomic<std::int64_t> passed_{0};
};

/// The thread that handlers run on, one job after the other. It ends with its last owner, having run every job.
class courier {
public:
  courier();
  ~courier();

  void post(std::function<void()> job);
  /// Returns when every job posted before has run; false: not within this real time. Not on the courier's own thread.
  bool flush(milliseconds within = milliseconds::max());
  [[nodiscard]] bool on_thread() const { return std::this_thread::get_id() == thread_.get_id(); }

private:
  struct desk {
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<std::function<void()>> jobs;
    bool ended = false;
    void run();
  };
  std::shared_ptr<desk> desk_ = std::make_shared<desk>();
  std::thread thread_;
};

/// As the hub's API reads it: views of the request, and a token that may do everything.
[[nodiscard]] cloud::request_head head_of(const runtime::http_request& r);
[[nodiscard]] runtime::http_reply to_reply(cloud::api_response r);

class switchboard : public std::enable_shared_from_this<switchboard> {
public:
  using service_ptr = std::shared_ptr<cloud::hub_service>;

  explicit switchboard(std::shared_ptr<stepped_clock> clock) : clock_(std::move(clock)) {}

  [[nodiscard]] std::shared_ptr<runtime::transport> connect();

  /// Who answers from now on; null: nobody. What was under way at the one before ends with outcome_unknown. Returns the one before, whose
  /// owner the caller becomes.
  service_ptr plug(service_ptr service);
  [[nodiscard]] service_ptr service() const;

  void cut(std::optional<outage> how);
  [[nodiscard]] std::optional<outage> outage_now() const;
  void lose_replies(std::size_t count, std::string target_end);

  /// Ends what has run out of time.
  void time_out();
  [[nodiscard]] courier& postman() { return courier_; }

  /// Waits, at most for `patience` of real time, until every session opened over the line was heard since then. Returns those that were
  /// not; sessions given up count again when they are heard.
  [[nodiscard]] std::vector<std::string> wait_until_heard(mono_time since, milliseconds patience);
  void give_up(const std::string& session);
  void forget(const std::string& session);

private:
  class line;
  struct errand;
  using errand_ptr = std::shared_ptr<errand>;
  struct presence {
    const line* from = nullptr;
    mono_time heard{};
    bool given_up = false;
  };
  struct loss {
    std::size_t count = 0;
    std::string target_end;
  };
  /// Parked commands whose asker is gone, to be taken back without the lock.
  using recalls = std::vector<std::pair<service_ptr, cloud::ticket>>;

  void send(line& from, runtime::http_request request, runtime::transport::handler on_reply);
  void close(line& from);
  void dispatch(const errand_ptr& e);
  void answered(const errand_ptr& e, std::uint64_t life, cloud::api_response response);
  void deliver(const errand_ptr& e);

  void conclude(const errand_ptr& e, result<runtime::http_reply> reply, recalls* back = nullptr);
  void hear(const errand& e);
  void learn_session(const errand& e, const runtime::http_reply& reply);
  [[nodiscard]] bool loses(const errand& e);
  static void carry_out(const recalls& back);

  const std::shared_ptr<stepped_clock> clock_;
  mutable std::mutex mutex_;
  std::condition_variable heard_;
  service_ptr service_;
  std::uint64_t life_ = 0; // Of the service; answers of an earlier one are nobody's.
  std::optional<outage> outage_;
  std::vector<loss> losses_;
  std::vector<errand_ptr> open_; // Not decided, in the order they were sent.
  std::map<std::string, presence> sessions_;
  courier courier_; // Last: its jobs use the rest.
};

} // namespace sallyport::testing

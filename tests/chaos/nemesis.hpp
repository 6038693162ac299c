// Does the harm, on a seeded schedule that is made before the round begins, and says each deed as it is done, so that a failed run reads
// like an incident. Main thread only.
#pragma once

#include "tests/chaos/cast.hpp"

#include <map>

namespace sallyport::chaos {

struct harm {
  std::uint64_t kills = 0, pauses = 0, partitions = 0; // What the floors ask for,
  std::map<std::string, std::uint64_t> others;         // and the rest, by name.
};

class nemesis {
public:
  nemesis(cast& victims, std::uint64_t seed, cast::say tell);

  /// Deeds for a round of this length. There are more of each kind than the floors ask for, and a deed whose victim is not there waits
  /// for it.
  void plan(std::chrono::milliseconds length);
  void tick();
  /// Nothing more happens, and everything is mended.
  void heal();
  [[nodiscard]] const harm& done() const { return done_; }

private:
  using steady = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;
  using deed = std::function<void()>;

  void at(steady::time_point when, deed d) { timeline_.emplace(when, std::move(d)); }
  void in(milliseconds delay, deed d) { at(steady::now() + delay, std::move(d)); }
  [[nodiscard]] int between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  void kill(program& p, int tries = 40);
  void pause(program& p, int tries = 40);
  void change(const std::string& link, const weather& w, milliseconds length);
  void partition(const std::string& link);
  void storm();
  void roll(std::size_t next);
  void database_outage();
  void start_database();
  void shop_outage(bool busy);
  void full_disk(std::uint64_t leave);
  [[nodiscard]] std::string some_link(int kind);

  cast& cast_;
  std::mt19937_64 random_;
  cast::say tell_;
  std::multimap<steady::time_point, deed> timeline_;
  std::map<std::string, int> changes_; // Per link: only its last change is undone by its own end.
  bool database_down_ = false;
  harm done_;
};

} // namespace sallyport::chaos

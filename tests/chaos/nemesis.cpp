#include "tests/chaos/nemesis.hpp"

#include <fmt/format.h>

namespace sallyport::chaos {

nemesis::nemesis(cast& victims, std::uint64_t seed, cast::say tell) : cast_(victims), random_(seed), tell_(std::move(tell)) {}

std::string nemesis::some_link(int kind) {
  switch (kind) {
    case 0: return agent_name_of(between(0, agents - 1)) + " hub";
    case 1: {
      const int i = between(0, producers + hands - 1);
      return (i < producers ? producer_name_of(i) : hand_name_of(i - producers)) + " hub";
    }
    default: return agent_name_of(between(0, agents - 1)) + (between(0, 1) == 0 ? " sql" : " http");
  }
}

void nemesis::plan(milliseconds length) {
  const auto begin = steady::now();
  const auto share = static_cast<double>(length.count()) / 120'000;
  const auto last = static_cast<int>(std::max<std::int64_t>(4'000, length.count() - 7'000));
  // Troubles seldom come alone: some of the deeds fall on the same moments.
  std::vector<int> bad_moments;
  for (int i = 0; i < 4; ++i)
    bad_moments.push_back(between(3'000, last));
  const auto times = [&](int per_two_minutes, const std::function<void()>& d) {
    const auto n = static_cast<int>(per_two_minutes * share + 0.999);
    for (int i = 0; i < n; ++i) {
      int when = between(2'000, last);
      if (between(0, 9) < 3)
        when = bad_moments[static_cast<std::size_t>(between(0, 3))] + between(0, 400);
      at(begin + milliseconds(when), d);
    }
  };
  times(7, [this] { kill(cast_.agent(between(0, agents - 1))); });
  times(3, [this] { kill(cast_.hub()); });
  times(1, [this] { storm(); });
  times(5, [this] { pause(cast_.agent(between(0, agents - 1))); });
  times(2, [this] { pause(cast_.hub()); });
  times(5, [this] { partition(some_link(0)); });
  times(4, [this] { partition(some_link(1)); });
  times(4, [this] { partition(some_link(2)); });
  times(4, [this] {
    const auto link = some_link(between(0, 2));
    const auto delay = between(5, 150);
    const auto speed = static_cast<std::uint64_t>(between(20, 400)) * 1024;
    tell_(fmt::format("slow: {}, {}+{} ms, {} KiB/s", link, delay, 2 * delay, speed / 1024));
    ++done_.others["slow"];
    change(link, {.delay = milliseconds(delay), .jitter = milliseconds(2 * delay), .bytes_per_second = speed},
           milliseconds(between(4'000, 12'000)));
  });
  times(4, [this] {
    const auto link = some_link(between(0, 2));
    const auto chance = between(1, 15);
    tell_(fmt::format("lossy: {}, {} % of the pieces reset their connection", link, chance));
    ++done_.others["lossy"];
    change(link, {.delay = milliseconds(1), .jitter = milliseconds(20), .resets = chance / 100.0},
           milliseconds(between(4'000, 12'000)));
  });
  times(1, [this] { database_outage(); });
  times(1, [this] { shop_outage(false); });
  times(1, [this] { shop_outage(true); });
  times(1, [this] { full_disk(8u << 20); });
  times(1, [this] { full_disk(0); });
  times(1, [this] {
    tell_("rolling restart of everything");
    ++done_.others["rolling_restart"];
    roll(0);
  });
}

void nemesis::tick() {
  while (!timeline_.empty() && timeline_.begin()->first <= steady::now()) {
    auto d = std::move(timeline_.begin()->second);
    timeline_.erase(timeline_.begin());
    d();
  }
}

void nemesis::kill(program& p, int tries) {
  if (cast_.kill(p)) {
    tell_(fmt::format("kill -9 {}", p.name));
    ++done_.kills;
  } else if (tries > 0) {
    in(milliseconds(200), [this, &p, tries] { kill(p, tries - 1); });
  }
}

void nemesis::pause(program& p, int tries) {
  if (!cast_.pause(p)) {
    if (tries > 0)
      in(milliseconds(200), [this, &p, tries] { pause(p, tries - 1); });
    return;
  }
  const auto length = cast_.options().session_ttl + milliseconds(between(300, 2'500));
  tell_(fmt::format("SIGSTOP {} for {} ms, longer than its lease", p.name, length.count()));
  ++done_.pauses;
  in(length, [this, &p, life = p.lives] {
    if (p.lives == life) {
      cast_.resume(p);
      tell_(fmt::format("SIGCONT {}", p.name));
    }
  });
}

void nemesis::change(const std::string& link, const weather& w, milliseconds length) {
  cast_.net.set(link, w);
  in(length, [this, link, number = ++changes_[link]] {
    if (changes_[link] == number) {
      cast_.net.set(link, {});
      tell_(fmt::format("open again: {}", link));
    }
  });
}

void nemesis::partition(const std::string& link) {
  weather w;
  const auto how = between(0, 1) == 0 ? passage::held : passage::swallowed;
  const auto sides = between(0, 3); // Both ways twice as often.
  if (sides != 1)
    w.requests = how;
  if (sides != 2)
    w.answers = how;
  w.refuses = between(0, 2) == 0;
  const milliseconds length(between(1'500, 6'000));
  tell_(fmt::format("partition: {}, {} {}, new connections {}, for {} ms", link,
                    sides == 1   ? "answers"
                    : sides == 2 ? "requests"
                                 : "both ways",
                    how == passage::held ? "held" : "swallowed", w.refuses ? "reset" : "silent", length.count()));
  ++done_.partitions;
  change(link, w, length);
}

void nemesis::storm() {
  const int first = between(0, agents - 1), second = (first + between(1, agents - 1)) % agents;
  tell_(fmt::format("restart storm: {} and {}", agent_name_of(first), agent_name_of(second)));
  ++done_.others["storm"];
  for (int i = 0; i < 3; ++i) {
    in(milliseconds(i * 1'200 + between(0, 300)), [this, first] { kill(cast_.agent(first)); });
    in(milliseconds(i * 1'200 + between(0, 300)), [this, second] { kill(cast_.agent(second)); });
  }
}

void nemesis::roll(std::size_t next) {
  if (next > static_cast<std::size_t>(agents))
    return;
  auto& p = next == 0 ? cast_.hub() : cast_.agent(static_cast<int>(next) - 1);
  if (cast_.terminate(p)) {
    tell_(fmt::format("SIGTERM {}", p.name));
    ++done_.others["sigterm"];
  }
  in(milliseconds(between(300, 1'500)), [this, next] { roll(next + 1); });
}

void nemesis::database_outage() {
  if (database_down_)
    return;
  const milliseconds length(between(800, 4'000));
  tell_(fmt::format("PostgreSQL is gone, immediately, for {} ms", length.count()));
  ++done_.others["sql_outage"];
  database_down_ = true;
  cast_.database.stop(SIGQUIT);
  in(length, [this] { start_database(); });
}

void nemesis::start_database() {
  cast_.database.start();
  database_down_ = false;
  tell_("PostgreSQL is back");
}

void nemesis::shop_outage(bool busy) {
  const milliseconds length(between(1'000, 5'000));
  tell_(fmt::format("the HTTP service {} for {} ms", busy ? "answers 503" : "is gone", length.count()));
  ++done_.others[busy ? "http_busy" : "http_outage"];
  if (busy)
    cast_.orders->be_busy(true);
  else
    cast_.orders->close();
  in(length, [this, busy] {
    if (busy)
      cast_.orders->be_busy(false);
    else
      cast_.orders->open();
    tell_("the HTTP service is back");
  });
}

void nemesis::full_disk(std::uint64_t leave) {
  if (!cast_.fill_disk(leave))
    return;
  const milliseconds length(between(2'000, 6'000));
  tell_(fmt::format("the hub's disk is full but for {} MiB, for {} ms", leave >> 20, length.count()));
  ++done_.others["disk_full"];
  in(length, [this] {
    cast_.free_disk();
    tell_("the hub's disk has room again");
  });
}

void nemesis::heal() {
  timeline_.clear();
  cast_.free_disk();
  if (database_down_)
    start_database();
  cast_.orders->be_busy(false);
  cast_.orders->open();
  for (auto& [link, number] : changes_)
    cast_.net.set(link, {});
  cast_.resume(cast_.hub());
  for (int i = 0; i < agents; ++i)
    cast_.resume(cast_.agent(i));
}

} // namespace sallyport::chaos

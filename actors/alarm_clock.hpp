// An actor's alarm clock: tells the actor `tick` at the time its core wants to be woken, with as few delayed messages as that takes.
// Part of an actor's state; used by that actor only. May wake too early, when a time asked for before was sooner, or to look whether somebody
// has stepped the time; a core does not mind.
#pragma once

#include "actors/interfaces.hpp"

#include <algorithm>

namespace sallyport::actors {

class alarm_clock {
public:
  template <class Self>
  void wake(Self* self, mono_time when, runtime::time_source& time) {
    if (when >= armed_)
      return;
    const auto now = time.now().mono;
    armed_ = when;
    const typename Self::actor_hdl me{self};
    if (when <= now)
      self->anon_send(me, atom::tick{});
    else
      self->delayed_anon_send(me, std::min(when - now, time.longest_nap()), atom::tick{});
  }
  void rang() { armed_ = mono_time::max(); }

private:
  mono_time armed_ = mono_time::max();
};

} // namespace sallyport::actors

// An actor's alarm clock: tells the actor `tick` at the time its core wants to be woken, with as few delayed messages as that takes.
// Part of an actor's state; used by that actor only. May wake too early, when a time asked for before was sooner; a core does not mind.
#pragma once

#include "actors/interfaces.hpp"

namespace sallyport::actors {

class alarm_clock {
public:
  template <class Self>
  void wake(Self* self, mono_time when, mono_time now) {
    if (when >= armed_)
      return;
    armed_ = when;
    const typename Self::actor_hdl me{self};
    if (when <= now)
      self->anon_send(me, atom::tick{});
    else
      self->delayed_anon_send(me, when - now, atom::tick{});
  }
  void rang() { armed_ = mono_time::max(); }

private:
  mono_time armed_ = mono_time::max();
};

} // namespace sallyport::actors

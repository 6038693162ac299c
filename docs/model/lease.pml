/* The lease protocol: one hub, one message, two agents, and a network that loses, delays, repeats and reorders.
 * README.md says what is left out and why that is sound; scripts/model runs every check. Words in capitals after `MISTAKE` are planted
 * mistakes, which the checks must find. Steps print what they do, so that a counterexample reads as an incident report. */

#ifndef FAULTS
#define FAULTS 2                        /* crashes, sessions that run out, hold limits: so many in all, in any order and place */
#endif
#ifndef MISTAKE
#define MISTAKE NONE
#endif
mtype = { NONE, FENCE_IGNORED, TAKE_WITHOUT_MINT, FENCE_REPEATS, EXPIRY_KEEPS_GRANT, ANSWER_BEFORE_DURABLE, SETTLEMENT_FORGOTTEN,
          CLAIM_NOT_REPEATED, DEADLINE_IGNORED, EXPIRES_EARLY, OLD_LIFE_ACCEPTED, LIST_TAKES_IN_FLIGHT, REBIND_ANYTHING,
          NO_LIST, NO_SWEEP };
#define ATTEMPTS 2                      /* max_attempts of the queue */
#define EPOCH 10                        /* A fence is epoch * EPOCH + counter: as pairs are compared. */
#define LIFE 8                          /* A life is incarnation * LIFE + opening, and names its session. */

mtype = { waiting, granted, settled, dead, cancelled };           /* the message */
mtype = { nothing, open, beat, claim, settle, sweep, hold_limit, cancel };
mtype = { yes, no, gone };                                        /* the hub's answer */
mtype = { queued, running, settling };                            /* an agent's grant */

typedef table {                         /* what the hub knows */
  byte epoch, counter, fence, attempts, lseq, lsession;
  mtype state = waiting;
  byte by;                              /* whom `fence` was given to: agent + 1 */
  byte life[2], held[2];                /* of each agent: its session, and the fence it holds */
  byte seq[2];                          /* of its lane's last claim. In memory only: a restart finds it in the grant, or not at all */
  bool live[2];
  byte done_under;
  int failed_under;                     /* a set of fences, as bits: the message's history */
  int taken                             /* from their holders, other than by a loss: the observer's, here because it is as durable */
};
table memory;
hidden table disk;                      /* Differs from memory only while something is decided: see carry_out(). */

typedef request { mtype what = nothing; byte from, life, seq, fence; bool done };
request late;                           /* given up by its agent, and still travelling */

typedef agent {                         /* a credit of one: it holds one grant at most */
  bool up = true;
  byte life, session, seq, fence;
  byte coming;                          /* a grant on its way: the answer to claim seq + 1 */
  bool good;                            /* its deadline has not passed */
  bool lost, done;
  mtype at = queued
};
agent agents[2];

bool storm = true;                      /* while it lasts, there are faults */
byte faults;
#define may_fail (storm && faults < FAULTS)

/* What an omniscient observer has seen. Nothing above reads it. */
byte top, settlement;
int counted;                            /* a set of fences */

#define bit(f) (1 << (f))
#define has(set, f) ((set & bit(f)) != 0)
#define final(t) (t.state != waiting && t.state != granted)
#define lives(a, l) (memory.live[a] && memory.life[a] == l)
#define must(belief, text) if :: belief :: else -> printf(text); assert(false) fi

inline copy(to, from) {
  to.epoch = from.epoch; to.counter = from.counter; to.fence = from.fence; to.attempts = from.attempts; to.lseq = from.lseq;
  to.lsession = from.lsession; to.state = from.state; to.by = from.by; to.done_under = from.done_under;
  to.failed_under = from.failed_under; to.taken = from.taken;
  to.life[0] = from.life[0]; to.held[0] = from.held[0]; to.seq[0] = from.seq[0]; to.live[0] = from.live[0];
  to.life[1] = from.life[1]; to.held[1] = from.held[1]; to.seq[1] = from.seq[1]; to.live[1] = from.live[1]
}
inline forget(x) { x.what = nothing; x.from = 0; x.life = 0; x.seq = 0; x.fence = 0; x.done = false }

/* ---- the hub -------------------------------------------------------------------------------------------------------------- */

hidden request q;                       /* what is being decided, and the answer */
hidden mtype answer;
hidden byte answer_fence;
#define me q.from

inline mint() {
  memory.counter++;
  memory.fence = memory.epoch * EPOCH + memory.counter;
  assert(memory.counter < EPOCH && memory.fence < 32);       /* Bounds of the model, not of the protocol: sets of fences are ints. */
  must(memory.fence > top, "BROKEN: fences only rise\n");
  top = memory.fence
}
inline back_to_queue(a) { memory.held[a] = 0; memory.state = waiting }
inline take(to) {                       /* other than by the loss of the session: the old fence is burnt */
  memory.taken = memory.taken | bit(memory.fence);
  memory.held[0] = 0; memory.held[1] = 0;
  memory.state = to;
  if :: MISTAKE == TAKE_WITHOUT_MINT :: else -> mint() fi
}
inline lose(a) {                        /* the session ends without a close */
  if
  :: memory.held[a] == 0
  :: MISTAKE == EXPIRY_KEEPS_GRANT && memory.held[a] != 0 -> memory.state = waiting
  :: MISTAKE != EXPIRY_KEEPS_GRANT && memory.held[a] != 0 -> back_to_queue(a)
  :: memory.held[a] != 0 -> take(dead)  /* any loss may be the one too many */
  fi
}
#define is_latest(a, f) (memory.fence == f && memory.by == a + 1 && !has(memory.failed_under, f))
#define can_rebind(a, f) (!final(memory) && (is_latest(a, f) || MISTAKE == REBIND_ANYTHING))

inline decide_open() {
  answer = yes;
  answer_fence = (q.fence != 0 && !can_rebind(me, q.fence) -> q.fence : 0);   /* what is lost */
  if
  :: MISTAKE != OLD_LIFE_ACCEPTED && q.life < memory.life[me] -> answer = no; answer_fence = 0
  :: q.life == memory.life[me] && !memory.live[me] -> answer = gone; answer_fence = 0
  :: q.life == memory.life[me] && memory.live[me]       /* its answer was lost on the way: the same again */
  :: else ->
     if
     :: q.fence != 0 && answer_fence == 0 ->            /* re-bound */
        memory.held[me] = q.fence; memory.state = granted; memory.lsession = q.life; memory.lseq = 0
     :: else -> if
        :: memory.live[me] && memory.life[me] / LIFE == q.life / LIFE && memory.held[me] != 0 -> back_to_queue(me)
        :: memory.live[me] && memory.life[me] / LIFE != q.life / LIFE -> lose(me)
        :: else
        fi
     fi;
     memory.live[me] = true; memory.life[me] = q.life; memory.seq[me] = 0
  fi
}

/* Stands for the heartbeat with the list. The one with count and hash changes nothing but to ask for it. */
inline decide_beat() {
  if
  :: !lives(me, q.life) -> answer = gone
  :: else ->
     answer = yes;
     if
     :: MISTAKE != NO_LIST && memory.held[me] != 0 && memory.held[me] != q.fence &&
        (memory.lseq <= q.seq || (MISTAKE == LIST_TAKES_IN_FLIGHT && memory.counter < 5)) ->
        back_to_queue(me)               /* the claim was answered, and it is not there: it never arrived */
     :: else
     fi;
     answer_fence = (memory.held[me] == q.fence -> 0 : q.fence)
  fi
}

#define again(a, x) (memory.held[a] != 0 && memory.lsession == x.life && memory.lseq == x.seq)
inline decide_claim() {
  if
  :: !lives(me, q.life) -> answer = gone
  :: lives(me, q.life) && q.seq < memory.seq[me] -> answer = no
  :: MISTAKE != CLAIM_NOT_REPEATED && lives(me, q.life) && q.seq == memory.seq[me] && again(me, q) ->
     answer = yes; answer_fence = memory.held[me]
  :: else ->
     answer = yes; memory.seq[me] = q.seq;
     if
     :: memory.state == waiting ->
        mint();
        memory.state = granted; memory.held[me] = memory.fence; memory.by = me + 1;
        memory.lsession = q.life; memory.lseq = q.seq;
        answer_fence = memory.fence
     :: else                            /* a late copy, whose connection is gone */
     fi
  fi
}

#define counts(f) (!final(memory) && (is_latest(me, f) || MISTAKE == FENCE_IGNORED))
#define is_known(f) (MISTAKE != SETTLEMENT_FORGOTTEN && (q.done -> memory.done_under == f : has(memory.failed_under, f)))
inline decide_settle() {                /* judged by fence and agent; the session may be long over */
  if
  :: counts(q.fence) ->
     answer = yes;
     must(q.fence == memory.fence && !has(memory.taken, q.fence), "BROKEN: a stale or burnt fence changes nothing\n");
     memory.held[0] = 0; memory.held[1] = 0;
     if
     :: q.done -> memory.state = settled; memory.done_under = q.fence; mint()
     :: else ->
        memory.attempts++; memory.failed_under = memory.failed_under | bit(q.fence);
        if
        :: memory.attempts >= ATTEMPTS -> memory.state = dead; mint()
        :: else -> memory.state = waiting
        fi
     fi
  :: !counts(q.fence) && is_known(q.fence) -> answer = yes                  /* the first answer was lost: the same again */
  :: else -> answer = no                /* stale or burnt: kept as evidence */
  fi
}

inline decide() {
  answer = nothing; answer_fence = 0;
  if
  :: q.what == open -> decide_open()
  :: q.what == beat -> decide_beat()
  :: q.what == claim -> decide_claim()
  :: q.what == settle -> decide_settle()
  :: q.what == sweep -> lose(me); memory.live[me] = false
  :: q.what == hold_limit ->
     memory.attempts++;
     if :: memory.attempts >= ATTEMPTS -> take(dead) :: else -> take(waiting) fi
  :: q.what == cancel -> take(cancelled)
  :: else
  fi;
  printf("hub: %e of %c, life %d seq %d fence %d: %e %d; the message is %e, fence %d\n", q.what, 'A' + q.from, q.life, q.seq, q.fence,
         answer, answer_fence, memory.state, memory.fence);
  if
  :: final(memory) ->                   /* What only grants ask about is over. */
     memory.seq[0] = 0; memory.seq[1] = 0; memory.lseq = 0; memory.lsession = 0; memory.attempts = 0;
     if :: late.what != settle -> forget(late) :: else fi
  :: else
  fi;
  must((memory.held[0] != 0) + (memory.held[1] != 0) == (memory.state == granted), "BROKEN: one live grant\n")
}

inline reply() {                        /* What left the hub is a promise. */
  if
  :: q.what == settle && answer == yes ->
     must(!q.done || settlement == 0 || settlement == q.fence, "BROKEN: one settlement succeeds\n");
     settlement = (q.done -> q.fence : settlement);
     counted = counted | bit(q.fence)
  :: q.what == settle && answer == no ->
     must(!has(counted, q.fence), "BROKEN: a repeated settlement gets the same answer\n")
  :: q.what == claim && answer == yes && again(me, q) ->
     must(answer_fence == memory.held[me], "BROKEN: a repeated claim gets the same answer\n")
  :: else
  fi
}

inline restart() {                      /* what was in memory is gone; every known session has a full ttl */
  copy(memory, disk);
  memory.epoch = memory.epoch + (MISTAKE != FENCE_REPEATS);
  memory.counter = 0;
  memory.seq[0] = (memory.by == 1 && memory.lsession == memory.life[0] -> memory.lseq : 0);
  memory.seq[1] = (memory.by == 2 && memory.lsession == memory.life[1] -> memory.lseq : 0);
  faults++;
  printf("hub: crashed and restarted, epoch %d; the message is %e, fence %d\n", memory.epoch, memory.state, memory.fence)
}

/* Decide, append, then answer. Nobody sees anything in between, so that it is one step takes nothing away. */
inline carry_out() {
  copy(disk, memory);
  decide();
  if
  :: reply()
  :: may_fail -> copy(disk, memory); restart(); answer = nothing  /* it reached the disk */
  :: may_fail ->                        /* it did not */
     if :: MISTAKE == ANSWER_BEFORE_DURABLE -> reply(); restart() :: else -> restart(); answer = nothing fi
  fi
}

/* The one rule that stands for clocks: the agent counts from before its request left, less a margin, the hub from its arrival. So the
 * hub's count never ends before the agent's. In calm weather only the dead are silent. */
#define is_good(a) (agents[a].good && agents[a].session == memory.life[a] && MISTAKE != EXPIRES_EARLY)
#define may_expire(a) (memory.live[a] && !final(memory) && MISTAKE != NO_SWEEP && (!agents[a].up || (may_fail && !is_good(a))))
inline of_itself(kind, whose) { forget(q); q.what = kind; q.from = whose }

active proctype hub() {
end:
  do
  :: atomic {
       if
       :: late.what != nothing ->
          q.what = late.what; q.from = late.from; q.life = late.life; q.seq = late.seq; q.fence = late.fence; q.done = late.done;
          forget(late)
       :: may_expire(0) -> of_itself(sweep, 0); faults = faults + agents[0].up
       :: may_expire(1) -> of_itself(sweep, 1); faults = faults + agents[1].up
       :: may_fail && memory.state == granted -> of_itself(hold_limit, memory.by - 1); faults++
       :: storm && !final(memory) -> of_itself(cancel, 0)
       fi;
       carry_out()                      /* Nobody waits for the answer. */
     }
  :: atomic { storm && late.what != nothing -> forget(late) }
  od
}

/* ---- an agent ------------------------------------------------------------------------------------------------------------- */

#define self agents[i]
#define named (self.lost -> 0 : self.fence)
/* Left out are heartbeats that would change nothing, and the wait of a parked claim: it arrives when there is something to give. */
#define has_news (!self.good || !lives(i, self.session) || (named != 0 && memory.held[i] != named) \
                  || (memory.held[i] != 0 && memory.held[i] != named && memory.lseq <= self.seq))
#define is_worth (!lives(i, self.session) || memory.state == waiting \
                  || (memory.held[i] != 0 && memory.lsession == self.session && memory.lseq == self.seq + 1))

inline ask(kind, as_of, number, what_fence) {
  q.what = kind; q.from = i; q.life = as_of; q.seq = number; q.fence = what_fence; q.done = (kind == settle && self.done)
}
inline drop_grant() { self.fence = 0; self.at = queued; self.lost = false; self.done = false }
inline session_over() { self.session = 0; self.good = false; self.seq = 0; self.coming = 0 }
/* If the hub has ended the session by now, the deadline in this answer has passed as well: the rule about clocks again. */
inline heard() { self.good = lives(i, self.session) }
inline hear_of_loss() {                 /* what was begun goes on, and is settled as evidence */
  if
  :: answer_fence != 0 && answer_fence == self.fence && self.at == queued -> drop_grant()
  :: answer_fence != 0 && answer_fence == self.fence && self.at != queued -> self.lost = true
  :: else
  fi
}
inline hear() {
  if
  :: answer == nothing                  /* it did not come */
  :: answer == gone && q.what != open -> session_over(); self.life++
  :: answer == gone && q.what == open -> self.life++
  :: answer == yes && q.what == open -> self.session = self.life; heard(); hear_of_loss()
  :: answer == yes && q.what == beat -> heard(); hear_of_loss()
  :: answer == yes && q.what == claim -> self.coming = answer_fence
  :: q.what == settle && answer != nothing -> drop_grant()
  :: answer == no && q.what != settle ->
     printf("BROKEN: no opening and no claim that is waited for is refused\n"); assert(false)
  fi
}

proctype an_agent(byte i) {
end:
  do
  :: atomic {
       if
       :: self.up && self.session == 0 && !final(memory) -> ask(open, self.life, 0, named)
       :: self.up && self.session != 0 && has_news -> ask(beat, self.session, self.seq, named)
       :: self.up && self.session != 0 && self.fence == 0 && self.coming == 0 && !final(memory) && is_worth ->
          ask(claim, self.session, self.seq + 1, 0)          /* the same seq until it is answered */
       :: self.at == settling -> ask(settle, 0, 0, self.fence)
       fi;
       if
       :: carry_out();
          if
          :: hear()
          :: storm                                           /* the answer is lost */
          fi
       :: storm && late.what == nothing ->                   /* the request takes its time, and the agent gives up on it */
          late.what = q.what; late.from = i; late.life = q.life; late.seq = q.seq; late.fence = q.fence; late.done = q.done
       fi }
  :: atomic { self.coming != 0 ->
       printf("%c: has fence %d\n", 'A' + i, self.coming);
       self.seq++; self.fence = self.coming; self.coming = 0; heard() }
  :: atomic { storm && self.coming != 0 -> self.coming = 0 }
  :: atomic { self.fence != 0 && self.at == queued && (self.good || (MISTAKE == DEADLINE_IGNORED && self.session != 0)) ->
       printf("%c: starts fence %d\n", 'A' + i, self.fence);
       must(memory.by == i + 1 || has(memory.taken, self.fence), "BROKEN: nothing is started after another has a newer grant\n");
       self.at = running }
  :: atomic { self.at == running -> self.at = settling; if :: self.done = true :: self.done = false fi }
  :: atomic { storm && self.good -> printf("%c: its deadline passes\n", 'A' + i); self.good = false }
  :: atomic { may_fail && self.up && !final(memory) -> faults++; printf("%c: crashes\n", 'A' + i);
       session_over(); drop_grant(); self.up = false }
  :: atomic { !self.up && (storm || i == 0) ->               /* B may stay away for good: A goes on */
       self.up = true; self.life = (self.life / LIFE + 1) * LIFE + 1 }
  od
}

init {
  atomic {
    agents[0].life = LIFE + 1; agents[1].life = LIFE + 1;
    run an_agent(0); run an_agent(1)
  };
#ifndef SAFETY_ONLY
  storm = false
#endif
}

ltl drains { [] (!storm -> <> final(memory)) }

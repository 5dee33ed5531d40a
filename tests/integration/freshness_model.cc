// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/freshness_model.h"

#include <cstring>
#include <utility>

#include "tests/integration/freshness_frontier.h"
#include "tests/integration/freshness_world.h"
#include "vtpm/boot/acceptance.h"

namespace tests::freshness {

using vtpm::boot::judge;
using vtpm::boot::note_acknowledged;
using vtpm::boot::note_sent;
using vtpm::boot::Verdict;

namespace {

class Explorer : Frontier {
 public:
  explicit Explorer(const Bounds& bounds) : bounds_(bounds), mutant_(bounds.mutant) {}

  Explored run() {
    reach(World{}, "");
    while (next()) {
      storage_steps();
      owner_steps();
      for (std::size_t boot = 0; boot < from_.started; ++boot) {
        broker_steps(boot);
        instance_steps(boot);
      }
    }
    return found();
  }

 private:
  [[nodiscard]] bool may_commit() const { return from_.states < bounds_.commits; }

  [[nodiscard]] const Instance* user_of(std::size_t slot) const {
    for (const auto& boot : from_.boots) {
      if (is_live(boot) && boot.slot == slot) {
        return &boot;
      }
    }
    return nullptr;
  }

  static void end(World& world, std::size_t boot) {
    world.boots[boot] = {};
    world.boots[boot].phase = Phase::kGone;
    world.said[boot].answer = {};
  }

  // Starts, and copies, of whoever has the storage.
  void storage_steps() {
    for (std::size_t slot = 0; slot < static_cast<std::size_t>(bounds_.slots); ++slot) {
      const auto* const user = user_of(slot);
      if (user != nullptr && user->failed == 0) {
        continue;
      }
      if (user == nullptr && from_.started < bounds_.boots) {
        auto world = from_;
        auto& boot = world.boots[world.started];
        boot.phase = Phase::kWaiting;
        boot.slot = static_cast<Small>(slot);
        boot.opened = world.slots[slot];
        world.said[world.started].claim = Sent::kOnItsWay;
        world.attacked |= static_cast<Small>(slot != 0);
        ++world.started;
        reach(world, slot == 0 ? "starts, sends M1" : "starts on a copy, sends M1",
              world.started - std::size_t{1});
      }
      for (std::size_t source = 0; source < static_cast<std::size_t>(bounds_.slots); ++source) {
        if (std::memcmp(&from_.slots[source], &from_.slots[slot], sizeof(Store)) != 0) {
          auto world = from_;
          world.slots[slot] = world.slots[source];
          world.attacked |= static_cast<Small>(slot == 0);
          reach(world, slot == 0 ? "(a copy is put in its place)" : "(a copy is made)");
        }
      }
    }
  }

  // The VM's owner allows that a state which was noted comes back.
  void owner_steps() {
    if (from_.allowed_restores >= bounds_.restores) {
      return;
    }
    for (const auto& said : from_.said) {
      for (const auto* point : {said.boot == Sent::kGranted ? &said.boot_point : nullptr,
                                said.close == Sent::kGranted ? &said.close_point : nullptr}) {
        if (point != nullptr) {
          auto world = from_;
          world.row.allowed = *point;
          ++world.allowed_restores;
          reach(world, "(its owner allows a restore)");
        }
      }
    }
  }

  // What arrives at the broker. A request that was granted changes nothing when it comes again, and
  // one that was refused may come again.
  void broker_steps(std::size_t boot) {
    const auto& said = from_.said[boot];
    if (said.claim == Sent::kOnItsWay) {
      auto world = from_;
      world.said[boot].claim = Sent::kAtReplica;
      world.said[boot].seen = world.row.epoch;
      reach(world, "M1 reaches a replica, which reads the row", boot);
    } else if (said.claim == Sent::kAtReplica) {
      auto lost = from_;
      lost.said[boot].claim = Sent::kOnItsWay;
      lost.said[boot].seen = 0;
      reach(lost, "that replica restarts, or has raced", boot);
      grant_claim(boot);
    }
    if (said.boot == Sent::kOnItsWay) {
      note(boot, said.boot_point, said.used_restore != 0, &Said::boot, "M2 arrives");
    }
    if (said.close == Sent::kOnItsWay) {
      note(boot, said.close_point, false, &Said::close, "M4 arrives");
    }
  }

  void grant_claim(std::size_t boot) {
    auto world = from_;
    auto& said = world.said[boot];
    if (!world.row.claim(static_cast<Small>(boot + 1), said.seen, mutant_)) {
      return;
    }
    const auto held = static_cast<Small>(1U << world.row.epoch);
    for (std::size_t other = 0; other < world.started; ++other) {
      if (other != boot && (world.said[other].epochs_held & held) != 0) {
        violate(Property::kOneOwner, "M1 is granted", boot);
      }
    }
    said.epochs_held |= held;
    said.claim = Sent::kGranted;
    said.seen = 0;
    if (is_live(world.boots[boot])) {
      said.answer = world.row;
    }
    reach(world, "M1 is granted", boot);
  }

  void note(std::size_t boot, const Point& point, bool used_restore, Sent Said::*what,
            const char* step) {
    auto world = from_;
    if (!world.row.note(static_cast<Small>(boot + 1), point, used_restore, mutant_)) {
      return;
    }
    const auto& before = from_.row.anchor;
    if (used_restore) {
      world.restored_in = point.epoch;
    } else if (before.is_there() && !descends(world, point.state, before.state)) {
      violate(Property::kNothingUndone, step, boot);
    }
    world.said[boot].*what = Sent::kGranted;
    reach(world, step, boot);
  }

  void instance_steps(std::size_t boot) {
    const auto& instance = from_.boots[boot];
    if (!is_live(instance)) {
      return;
    }
    auto crashed = from_;
    end(crashed, boot);
    reach(crashed, "crashes", boot);

    if (instance.failed != 0) {
      reopen(boot);
      return;
    }
    const bool waits = instance.phase == Phase::kWaiting ||
                       (instance.phase == Phase::kServing && instance.offline != 0);
    if (waits) {
      ask_again(boot);
      if (from_.said[boot].claim == Sent::kGranted) {
        instance.phase == Phase::kWaiting ? take_answer(boot) : rejoin(boot);
      }
    }
    switch (instance.phase) {
      case Phase::kWaiting:
        go_offline(boot);
        break;
      case Phase::kAdmitted:
        if (may_commit() && mutant_ == Mutant::kAnchorBeforeDurable && instance.offline == 0) {
          send_early(boot);
        } else {
          commit(boot, instance.offline != 0 ? Phase::kServing : Phase::kBooted, "commits first");
        }
        if (instance.offline != 0) {
          fail_a_commit(boot);
        }
        break;
      case Phase::kEarly:
        end_early(boot);
        break;
      case Phase::kBooted:
        if (instance.offline == 0) {
          commit(boot, Phase::kBooted, "commits before M2");
        }
        send_boot(boot);
        break;
      case Phase::kNoting:
        commit(boot, Phase::kNoting, "commits while M2 is out");
        if (from_.said[boot].boot == Sent::kGranted) {
          hear_of_boot(boot);
        }
        break;
      case Phase::kServing:
        commit(boot, Phase::kServing, "commits for its guest");
        fail_a_commit(boot);
        close(boot);
        break;
      case Phase::kNone:
      case Phase::kGone:
        break;
    }
  }

  void commit(std::size_t boot, Phase then, const char* step) {
    if (!may_commit()) {
      return;
    }
    auto world = from_;
    write(world, boot, new_state(world, world.slots[world.boots[boot].slot].at.state));
    world.boots[boot].phase = then;
    begun_to_listen(world, boot, step);
    reach(world, step, boot);
  }

  void write(World& world, std::size_t boot, Small state) const {
    auto& instance = world.boots[boot];
    auto& store = world.slots[instance.slot];
    const auto sequence = static_cast<Small>(store.at.sequence + 1);
    store = instance.next;
    store.at = {0, sequence, state};
    if (bounds_.reopens) {
      store.writer = static_cast<Small>(boot + 1);
      instance.last = store.at;
    }
  }

  // It is in the store all the same, or it is not.
  void fail_a_commit(std::size_t boot) {
    if (!bounds_.reopens) {
      return;
    }
    auto world = from_;
    auto& instance = world.boots[boot];
    instance.failed = 1;
    reach(world, "cannot commit", boot);
    if (may_commit()) {
      write(world, boot, new_state(world, world.slots[instance.slot].at.state));
      instance.last = from_.boots[boot].last;
      reach(world, "cannot commit, and the commit is there", boot);
    }
  }

  // The rule of BrokerBoot::admit_again().
  void reopen(std::size_t boot) {
    const auto& instance = from_.boots[boot];
    const auto& store = from_.slots[instance.slot];
    const bool is_last = store.at.state == instance.last.state;
    const bool came_of_last =
        store.writer == boot + 1 && store.at.sequence > instance.last.sequence;
    const bool is_taken = mutant_ == Mutant::kReopenedUnseen || is_last || came_of_last;
    if (!store.at.is_there() || !is_taken) {
      turn_away(boot, "is refused what it opens anew");
      return;
    }
    auto world = from_;
    world.boots[boot].failed = 0;
    world.boots[boot].last = store.at;
    reach(world, "opens its store anew", boot);
  }

  // Only once, so that an attempt whose answer is lost is one more message on its way.
  void ask_again(std::size_t boot) {
    if (from_.boots[boot].again != 0 || from_.said[boot].claim == Sent::kOnItsWay) {
      return;
    }
    auto world = from_;
    world.boots[boot].again = 1;
    world.said[boot].claim = Sent::kOnItsWay;
    world.said[boot].seen = 0;
    world.said[boot].answer = {};
    reach(world, "sends M1 again", boot);
  }

  Verdict judged(const Instance& instance, const BrokerRow& answer) const {
    return judge(anchor_of(instance.opened.at, mutant_), record_of(instance.opened, mutant_),
                 {.anchor = maybe_anchor_of(answer.anchor, mutant_),
                  .allowed_restore = maybe_anchor_of(answer.allowed, mutant_)});
  }

  void turn_away(std::size_t boot, const char* step) {
    if (from_.attacked == 0) {
      violate(Property::kHonestAccepted, step, boot);
    }
    count_refusal();
    auto world = from_;
    end(world, boot);
    reach(world, step, boot);
  }

  void take_answer(std::size_t boot) {
    const auto answer = from_.said[boot].answer;
    auto world = from_;
    auto& instance = world.boots[boot];
    world.said[boot].answer = {};
    instance.epoch = answer.epoch;
    const bool blank = !instance.opened.at.is_there();
    const auto verdict = blank ? Verdict::kUnwitnessed : judged(instance, answer);
    if (verdict == Verdict::kCurrent || verdict == Verdict::kRestored) {
      instance.used_restore = static_cast<Small>(verdict == Verdict::kRestored);
      instance.noted = verdict == Verdict::kRestored ? answer.allowed : answer.anchor;
      instance.next = {};
      instance.next.acked = instance.noted;
      instance.next.offline_boots = instance.opened.offline_boots;
      instance.phase = Phase::kAdmitted;
      reach(world, "is admitted", boot);
      return;
    }
    if (verdict != Verdict::kUnwitnessed || !is_unused(instance.opened)) {
      turn_away(boot, "is refused");
      return;
    }
    if (blank && (answer.anchor.is_there() || answer.allowed.is_there())) {
      turn_away(boot, "finds no store");
      return;
    }
    if (may_commit()) {
      world.slots[instance.slot].at = {};
      instance.next = {};
      write(world, boot, new_state(world, 0));
      instance.phase = Phase::kBooted;
      begun_to_listen(world, boot, "makes its store");
      reach(world, "makes its store", boot);
    }
  }

  void go_offline(std::size_t boot) {
    const auto& opened = from_.boots[boot].opened;
    if (!bounds_.offline || !opened.at.is_there() || is_unused(opened)) {
      return;
    }
    auto world = from_;
    auto& instance = world.boots[boot];
    instance.next = instance.opened;
    ++instance.next.offline_boots;
    if (!instance.next.pending.is_there()) {
      instance.next.pending = instance.opened.at;
    }
    instance.offline = 1;
    instance.phase = Phase::kAdmitted;
    if (bounds_.reopens) {
      instance.last = instance.opened.at;
    }
    reach(world, "goes on without the broker", boot);
  }

  // An offline boot hears from the broker after all: the state as it was opened is judged.
  void rejoin(std::size_t boot) {
    const auto answer = from_.said[boot].answer;
    if (judged(from_.boots[boot], answer) != Verdict::kCurrent) {
      turn_away(boot, "is refused while its guest runs");
      return;
    }
    auto world = from_;
    auto& instance = world.boots[boot];
    world.said[boot].answer = {};
    instance.epoch = answer.epoch;
    instance.noted = answer.anchor;
    instance.next.acked = answer.anchor;
    if (mutant_ == Mutant::kNotedUnrecorded) {
      sent_boot(world, boot, world.slots[instance.slot].at);
      reach(world, "is judged late and sends M2", boot);
    } else if (may_commit()) {
      instance.next.pending = {};
      write(world, boot, new_state(world, world.slots[instance.slot].at.state));
      instance.phase = Phase::kBooted;
      reach(world, "is judged late and commits that", boot);
    }
  }

  void sent_boot(World& world, std::size_t boot, Point point) const {
    auto& instance = world.boots[boot];
    auto& said = world.said[boot];
    point.epoch = instance.epoch;
    said.boot = Sent::kOnItsWay;
    said.boot_point = point;
    said.used_restore = instance.used_restore;
    if (mutant_ != Mutant::kPendingNotCarried) {
      auto record = record_of(instance.next, Mutant::kNone);
      note_sent(record, anchor_of(point, Mutant::kNone));
      carry(instance.next, record);
    }
    instance.phase = Phase::kNoting;
  }

  void send_boot(std::size_t boot) {
    auto world = from_;
    sent_boot(world, boot, world.slots[world.boots[boot].slot].at);
    reach(world, "sends M2", boot);
  }

  void send_early(std::size_t boot) {
    auto world = from_;
    const auto& at = world.slots[world.boots[boot].slot].at;
    const auto state = new_state(world, at.state);
    sent_boot(world, boot, {0, static_cast<Small>(at.sequence + 1), state});
    world.boots[boot].phase = Phase::kEarly;
    reach(world, "sends M2 before its commit", boot);
  }

  void end_early(std::size_t boot) {
    auto world = from_;
    write(world, boot, world.said[boot].boot_point.state);
    world.boots[boot].phase = Phase::kNoting;
    reach(world, "commits what M2 has named", boot);
  }

  void hear_of_boot(std::size_t boot) {
    auto world = from_;
    auto& instance = world.boots[boot];
    const auto& point = world.said[boot].boot_point;
    auto record = record_of(instance.next, Mutant::kNone);
    note_acknowledged(record, anchor_of(point, Mutant::kNone), {}, world.row.restores);
    carry(instance.next, record);
    instance.noted = point;
    instance.offline = 0;
    instance.opened = {};  // judged and done
    instance.phase = Phase::kServing;
    begun_to_listen(world, boot, "hears of M2 and listens");
    reach(world, "hears of M2 and listens", boot);
  }

  void close(std::size_t boot) {
    const auto& instance = from_.boots[boot];
    const auto& at = from_.slots[instance.slot].at;
    if (instance.offline != 0 || at.state == instance.noted.state) {
      return;  // as a crash
    }
    auto world = from_;
    if (!has_record_of(from_.slots[instance.slot], instance.next) &&
        mutant_ != Mutant::kNotedUnrecorded) {
      if (!may_commit()) {
        return;
      }
      write(world, boot, new_state(world, at.state));
    }
    const auto& noted = world.slots[instance.slot].at;
    world.said[boot].close = Sent::kOnItsWay;
    world.said[boot].close_point = {instance.epoch, noted.sequence, noted.state};
    end(world, boot);
    reach(world, "ends and sends M4", boot);
  }

  // The moment from which a guest knows of this boot: what was noted of boots of older epochs, or
  // given to a guest in one, has to be in its state.
  void begun_to_listen(World& world, std::size_t boot, const char* step) {
    auto& instance = world.boots[boot];
    auto& own = world.said[boot];
    const bool listens =
        instance.phase == Phase::kServing ||
        (mutant_ == Mutant::kListenBeforeAnchor && instance.phase == Phase::kBooted);
    if (!listens || instance.offline != 0 || own.served_from.is_there()) {
      return;
    }
    const auto& at = world.slots[instance.slot].at;
    own.served_from =
        own.boot_point.is_there() ? own.boot_point : Point{instance.epoch, at.sequence, at.state};
    for (std::size_t other = 0; other < world.started; ++other) {
      const auto& said = world.said[other];
      for (const auto& point :
           {said.boot == Sent::kGranted ? said.boot_point : Point{},
            said.close == Sent::kGranted ? said.close_point : Point{}, said.served_from}) {
        const bool counts = other != boot && point.is_there() && point.epoch < instance.epoch &&
                            point.epoch >= world.restored_in;
        if (counts && !descends(world, at.state, point.state)) {
          violate(Property::kNothingUndone, step, boot);
        }
      }
    }
  }

  const Bounds bounds_;
  const Mutant mutant_;
};

}  // namespace

Explored explore(const Bounds& bounds) { return Explorer(bounds).run(); }

}  // namespace tests::freshness

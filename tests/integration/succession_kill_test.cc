// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "keybroker/protocol/instance.pb.h"
#include "keybroker/protocol/launch_document.h"
#include "tests/support/hypervisor.h"
#include "tests/support/nbd_client.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "transport/net/unix_listener.h"
#include "vmgs/base/cursor.h"
#include "vtpm/handover/parcel.h"
#include "vtpm/host/frame.h"
#include "vtpm/host/lease.h"
#include "vtpm/host/warmed_parent.h"

namespace tests::integration {
namespace {

namespace instance = strongroom::instance::v1;
namespace tpm = support;
using support::Hypervisor;
using support::NbdClient;
using testing::Optional;
using transport::net::UnixListener;
using vtpm::handover::Parcel;

constexpr std::uint32_t kIndex = 0x01500016;

std::array<base::Descriptor, 2> make_pair() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {base::Descriptor(ends[0]), base::Descriptor(ends[1])};
}

base::Descriptor copy_of(const base::Descriptor& descriptor) {
  return base::Descriptor(::dup(descriptor.number()));
}

vtpm::handover::Deadline soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(20);
}

// A process that vtpm-instance's warmed parent has forked; the test is its vtpmd.
struct Instance {
  base::Descriptor link;
  int pid = 0;
  base::Descriptor process;  // readable once it has ended, and has let go of everything
  vtpm::host::FrameReader said = {};

  // next() waits for what it says next; nothing once it has ended.
  std::optional<instance::FromInstance> next() {
    instance::FromInstance message;
    for (;;) {
      const auto complete = said.next(message);
      if (complete && *complete && message.has_certification_request()) {
        refuse_certificates(message.certification_request().serial());
        continue;
      }
      if (complete && *complete) {
        return message;
      }
      pollfd readable{link.number(), POLLIN, 0};
      if (::poll(&readable, 1, 20'000) != 1) {
        ADD_FAILURE() << "an instance says nothing, and does not end";
        return std::nullopt;
      }
      const auto open = said.receive(link.number());
      if (!open || !*open) {
        return std::nullopt;
      }
    }
  }

  // Nobody certifies here, which an instance would otherwise wait for.
  void refuse_certificates(std::uint64_t serial) const {
    instance::ToInstance message;
    auto& answer = *message.mutable_certification_answer();
    answer.set_serial(serial);
    answer.mutable_refusal()->set_not_offered(true);
    (void)vtpm::host::send_frame(link.number(), message);
  }

  void wait_for_end() {
    while (next()) {
    }
    pollfd ended{process.number(), POLLIN, 0};
    EXPECT_EQ(::poll(&ended, 1, 20'000), 1) << "it has hung up, and does not end";
  }

  void kill() {
    ::kill(pid, SIGKILL);
    wait_for_end();
  }
};

// Which of the two is killed, and when.
enum class Step {
  kSuccessorBeforeItSpeaks,
  kInstanceBeforeTheSuccessorSpeaks,
  kSuccessorWhileTheEstateIsUnderWay,
  kInstanceWhileTheEstateIsUnderWay,
  kInstanceOnceTheEstateHasArrived,
  kSuccessorOnceItServes,
  kInstanceOnceTheSuccessorServes,
};

// Who serves the guest afterwards.
enum class Serves { kInstance, kSuccessor, kNobody };

struct Case {
  Step step;
  Serves serves;
};

class SuccessionKillTest : public testing::Test {
 protected:
  SuccessionKillTest()
      : parent_(*vtpm::host::start_warmed_parent(VTPM_INSTANCE)),
        control_(*UnixListener::bind(folder_ / "control")),
        data_(*UnixListener::bind(folder_ / "data")),
        variables_(*UnixListener::bind(folder_ / "variables")),
        control_socket_(control_.release()),
        data_socket_(data_.release()),
        variables_socket_(variables_.release()) {
    EXPECT_TRUE(vtpm::host::await_warm(parent_, std::chrono::seconds(30)));
    keybroker::protocol::LaunchDocument document;
    document.vm_id.fill(std::byte{0x17});
    document.protection = keybroker::protocol::Protection::kHost;
    document_ = *keybroker::protocol::encode(document);
  }

  ~SuccessionKillTest() override { ::kill(parent_.pid, SIGKILL); }

  Instance fork_instance(base::Descriptor lease, base::Descriptor predecessor) {
    auto [ours, theirs] = make_pair();
    base::Descriptor door;
    if (!predecessor.is_open()) {
      door = UnixListener::replace(folder_ / "door", std::nullopt)->give_away();
    }
    const bool takes_over = predecessor.is_open();
    const vtpm::host::ChildEnds ends{std::move(theirs),     copy_of(control_socket_),
                                     copy_of(data_socket_), copy_of(variables_socket_),
                                     std::move(lease),      std::move(door),
                                     std::move(predecessor)};
    EXPECT_TRUE(vtpm::host::request_fork(parent_.link.number(), 1, "vtpm-test", ends));
    const int pid = forked_pid();
    Instance forked{
        .link = std::move(ours),
        .pid = pid,
        .process = base::Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
    EXPECT_TRUE(forked.process.is_open());
    instance::ToInstance message;
    auto& setup = *message.mutable_setup();
    setup.set_launch_document(document_.data(), document_.size());
    setup.set_store_path((folder_ / "vm.vmgs").string());
    setup.set_key_path((folder_ / "vm.key").string());
    setup.set_may_create(!has_state_);
    setup.set_take_over(takes_over);
    EXPECT_TRUE(vtpm::host::send_frame(forked.link.number(), message));
    return forked;
  }

  // Of the child that was born last; deaths are reported by the same road.
  int forked_pid() {
    instance::FromParent report;
    for (;;) {
      const auto complete = reports_.next(report);
      if (complete && *complete && report.has_forked()) {
        return report.forked().pid();
      }
      if (!complete || !*complete) {
        const auto open = reports_.receive(parent_.link.number());
        if (!open || !*open) {
          ADD_FAILURE() << "the parent is gone";
          return 0;
        }
      }
    }
  }

  // start() brings an instance to where a hypervisor may connect.
  Instance start() {
    auto lease = vtpm::host::take_lease(folder_ / "lease");
    if (!lease || !*lease) {
      ADD_FAILURE() << "somebody holds the lease";
      std::abort();
    }
    auto started = fork_instance(std::move(**lease), base::Descriptor());
    for (auto said = started.next(); said && !said->has_opened(); said = started.next()) {
      EXPECT_FALSE(said->has_state()) << said->state().reason();
    }
    if (!has_state_) {
      instance::ToInstance message;
      message.mutable_serve();
      EXPECT_TRUE(vtpm::host::send_frame(started.link.number(), message));
      has_state_ = true;
    }
    return started;
  }

  Hypervisor boot() {
    auto hypervisor = Hypervisor::attach(folder_ / "control");
    EXPECT_TRUE(hypervisor) << hypervisor.error().message;
    EXPECT_EQ(run(*hypervisor, tpm::startup_clear()), tpm::kSuccess);
    return *std::move(hypervisor);
  }

  // The firmware of a guest, which has its variables open while its TPM is used.
  NbdClient use_variables() {
    auto client = NbdClient::connect(folder_ / "variables");
    EXPECT_TRUE(client);
    return *std::move(client);
  }

  static base::Bytes some(char value) { return base::Bytes(512, static_cast<std::byte>(value)); }

  static std::uint32_t run(Hypervisor& hypervisor, const base::Bytes& command) {
    const auto response = hypervisor.command(command);
    EXPECT_TRUE(response) << response.error().message;
    return response ? support::response_code(*response) : 0xffffffff;
  }

  static base::Bytes number(std::uint64_t value) {
    base::Writer writer;
    writer.u64_be(value);
    return std::move(writer).take();
  }

  static std::uint64_t read_number(Hypervisor& hypervisor) {
    const auto response = hypervisor.command(tpm::nv_read(kIndex, 8));
    EXPECT_TRUE(response) << response.error().message;
    if (!response || support::response_code(*response) != tpm::kSuccess) {
      return 0;
    }
    const auto data = tpm::nv_data(*response);
    base::Reader reader(data);
    return *reader.u64_be();
  }

  // carry() takes one parcel from one to the other, unless it is to be lost.
  static std::optional<Parcel> take(const base::Descriptor& from) {
    auto parcel = vtpm::handover::receive_parcel(from.number(), soon());
    EXPECT_TRUE(parcel) << parcel.error().message;
    return parcel ? *std::move(parcel) : std::nullopt;
  }

  static void give(const base::Descriptor& to, const Parcel& parcel) {
    std::vector<int> numbers;
    for (const auto& descriptor : parcel.descriptors) {
      numbers.push_back(descriptor.number());
    }
    EXPECT_TRUE(vtpm::handover::send_parcel(to.number(), parcel.message, parcel.secrets.expose(),
                                            numbers, soon()));
  }

  // Two instances, and the test between them, which carries what they say to each other.
  struct Succession {
    Instance before;
    Instance after;
    base::Descriptor to_before;
    base::Descriptor to_after;
  };

  Succession begin(Instance before) {
    auto [to_before, of_before] = make_pair();
    auto [to_after, of_after] = make_pair();
    instance::ToInstance order;
    order.mutable_hand_over();
    EXPECT_TRUE(
        vtpm::host::send_frame(before.link.number(), order, std::array{of_before.number()}));
    auto after = fork_instance(base::Descriptor(), std::move(of_after));
    return {std::move(before), std::move(after), std::move(to_before), std::move(to_after)};
  }

  // The parcels up to `step`, and a death.
  static void play(Succession& both, Step step) {
    const auto die = [](Instance& victim, base::Descriptor& way_of_the_other) {
      victim.kill();
      way_of_the_other = base::Descriptor();
    };
    const auto here = take(both.to_after);
    ASSERT_TRUE(here);
    if (step == Step::kSuccessorBeforeItSpeaks) {
      return die(both.after, both.to_before);
    }
    if (step == Step::kInstanceBeforeTheSuccessorSpeaks) {
      return die(both.before, both.to_after);
    }
    give(both.to_before, *here);
    auto estate = take(both.to_before);
    ASSERT_TRUE(estate);
    if (step == Step::kSuccessorWhileTheEstateIsUnderWay) {
      estate.reset();
      return die(both.after, both.to_before);
    }
    if (step == Step::kInstanceWhileTheEstateIsUnderWay) {
      estate.reset();
      return die(both.before, both.to_after);
    }
    give(both.to_after, *estate);
    estate.reset();
    if (step == Step::kInstanceOnceTheEstateHasArrived) {
      return die(both.before, both.to_after);
    }
    const auto serving = take(both.to_after);
    ASSERT_TRUE(serving && serving->message.has_serving());
    if (step == Step::kSuccessorOnceItServes) {
      return die(both.after, both.to_before);
    }
    die(both.before, both.to_after);
  }

  support::TempFolder folder_;
  vtpm::host::WarmedParent parent_;
  vtpm::host::FrameReader reports_;
  UnixListener control_;
  UnixListener data_;
  UnixListener variables_;
  base::Descriptor control_socket_;
  base::Descriptor data_socket_;
  base::Descriptor variables_socket_;
  base::Bytes document_;
  bool has_state_ = false;
};

class SuccessionStepTest : public SuccessionKillTest, public testing::WithParamInterface<Case> {};

TEST_P(SuccessionStepTest, LeavesOneSideServingOrAWholeStore) {
  auto before = start();
  auto guest = boot();
  ASSERT_EQ(run(guest, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
  ASSERT_EQ(run(guest, tpm::nv_write(kIndex, number(1))), tpm::kSuccess);
  ASSERT_EQ(run(guest, tpm::pcr_extend(16, {std::byte{0x5a}})), tpm::kSuccess);
  const auto extended = tpm::pcr_value(*guest.command(tpm::pcr_read(16)));
  auto firmware = use_variables();
  ASSERT_THAT(firmware.write(512, some('a')), Optional(0U));
  ASSERT_THAT(firmware.flush(), Optional(0U));

  auto both = begin(std::move(before));
  play(both, GetParam().step);

  std::uint64_t acknowledged = 1;
  char stored = 'a';
  if (GetParam().serves == Serves::kNobody) {
    both.before.wait_for_end();
    both.after.wait_for_end();
    EXPECT_FALSE(guest.command(tpm::pcr_read(16)));
    EXPECT_FALSE(firmware.flush());
  } else {
    auto& serving = GetParam().serves == Serves::kInstance ? both.before : both.after;
    auto& other = GetParam().serves == Serves::kInstance ? both.after : both.before;
    EXPECT_EQ(tpm::pcr_value(*guest.command(tpm::pcr_read(16))), extended);
    ASSERT_EQ(run(guest, tpm::nv_write(kIndex, number(2))), tpm::kSuccess);
    acknowledged = 2;
    EXPECT_THAT(firmware.read(512, 512), Optional(some('a')));
    ASSERT_THAT(firmware.write(512, some('b')), Optional(0U));
    ASSERT_THAT(firmware.flush(), Optional(0U));
    stored = 'b';
    EXPECT_TRUE(guest.result(support::Control::kGetTpmEstablished));
    other.wait_for_end();
    const auto lease = vtpm::host::take_lease(folder_ / "lease");
    EXPECT_TRUE(lease && !*lease) << "nobody holds the lease";
    EXPECT_EQ(vtpm::host::lease_holder(folder_ / "lease")->pid, serving.pid);
    serving.kill();
  }
  // And in the end the store is whole, free, and holds what was acknowledged last.
  auto again = start();
  auto next = boot();
  EXPECT_EQ(read_number(next), acknowledged);
  EXPECT_THAT(use_variables().read(512, 512), Optional(some(stored)));
  again.kill();
}

INSTANTIATE_TEST_SUITE_P(
    EachStep, SuccessionStepTest,
    testing::Values(Case{Step::kSuccessorBeforeItSpeaks, Serves::kInstance},
                    Case{Step::kInstanceBeforeTheSuccessorSpeaks, Serves::kNobody},
                    Case{Step::kSuccessorWhileTheEstateIsUnderWay, Serves::kInstance},
                    Case{Step::kInstanceWhileTheEstateIsUnderWay, Serves::kNobody},
                    Case{Step::kInstanceOnceTheEstateHasArrived, Serves::kSuccessor},
                    Case{Step::kSuccessorOnceItServes, Serves::kNobody},
                    Case{Step::kInstanceOnceTheSuccessorServes, Serves::kSuccessor}));

// vtpmd dies in the middle of it, and the next one is not let in by an instance that is about to
// end: it would take the VM for a crashed one.
TEST_F(SuccessionKillTest, LetsTheNextVtpmdInWhereTheSuccessorServes) {
  auto before = start();
  auto guest = boot();
  auto both = begin(std::move(before));
  const auto here = take(both.to_after);
  ASSERT_TRUE(here);
  both.before.link = base::Descriptor();
  both.after.link = base::Descriptor();
  // What is asked next is answered by a loop that has seen what came before.
  EXPECT_TRUE(guest.result(support::Control::kGetTpmEstablished));
  auto door = UnixListener::connect(folder_ / "door");
  ASSERT_TRUE(door);
  EXPECT_TRUE(guest.result(support::Control::kGetTpmEstablished));

  give(both.to_before, *here);
  auto estate = take(both.to_before);
  ASSERT_TRUE(estate);
  give(both.to_after, *estate);
  estate.reset();
  const auto serving = take(both.to_after);
  ASSERT_TRUE(serving && serving->message.has_serving());
  give(both.to_before, *serving);
  pollfd ended{both.before.process.number(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, 20'000), 1);

  both.after.link = *std::move(door);
  const auto said = both.after.next();
  ASSERT_TRUE(said);
  EXPECT_TRUE(said->has_reclaimed());
  instance::ToInstance order;
  order.mutable_stop();
  EXPECT_TRUE(vtpm::host::send_frame(both.after.link.number(), order));
  both.after.wait_for_end();
}

// At a moment that nobody has chosen.
TEST_F(SuccessionKillTest, NeverServesTwiceWhoeverDiesWhenever) {
  std::mt19937 random(std::random_device{}());
  std::array<int, 3> served{};
  for (int round = 0; round < 10; ++round) {
    auto before = start();
    auto guest = boot();
    if (round == 0) {
      ASSERT_EQ(run(guest, tpm::nv_define(kIndex, 8)), tpm::kSuccess);
    }
    const auto value = static_cast<std::uint64_t>(100 + round);
    ASSERT_EQ(run(guest, tpm::nv_write(kIndex, number(value))), tpm::kSuccess);
    // Without the test in between.
    auto [to_before, to_after] = make_pair();
    instance::ToInstance order;
    order.mutable_hand_over();
    ASSERT_TRUE(
        vtpm::host::send_frame(before.link.number(), order, std::array{to_before.number()}));
    to_before = base::Descriptor();
    auto after = fork_instance(base::Descriptor(), std::move(to_after));
    const bool kills_successor = round % 2 == 0;
    // It waits for nothing: the time is drawn.
    std::this_thread::sleep_for(
        std::chrono::microseconds(std::uniform_int_distribution<int>(0, 60'000)(random)));
    (kills_successor ? after : before).kill();

    const auto answer = guest.command(tpm::nv_read(kIndex, 8));

    ++served[answer ? (kills_successor ? 0 : 1) : 2];
    if (answer) {
      EXPECT_EQ(read_number(guest), value);
      (kills_successor ? before : after).kill();
    } else {
      (kills_successor ? before : after).wait_for_end();
    }
    auto again = start();
    auto next = boot();
    ASSERT_EQ(read_number(next), value) << "round " << round;
    again.kill();
  }
  std::printf("the instance served on %d times, the successor %d times, nobody %d times\n",
              served[0], served[1], served[2]);
}

}  // namespace
}  // namespace tests::integration

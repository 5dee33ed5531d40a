// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "keybroker/protocol/instance.pb.h"
#include "tools/vtpm-instance/link_certifier.h"
#include "tools/vtpm-instance/link_channel.h"
#include "tools/vtpm-instance/setup.h"
#include "tools/vtpm-instance/supervisor.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/log.h"
#include "vmgs/base/result.h"
#include "vtpm/host/frame.h"
#include "vtpm/host/warmed_parent.h"

namespace tools::vtpm_instance {

// HostSupervisor is vtpmd as an instance knows it: the other end of the link of instance.proto.
class HostSupervisor final : public Supervisor {
 public:
  explicit HostSupervisor(base::Descriptor link, Belongings belongings = {});

  // receive_setup() waits for what this instance is told. kUnavailable if vtpmd went away first;
  // kCorrupt if it says something else.
  base::Result<strongroom::instance::v1::Setup> receive_setup();

  vtpm::provision::Certifier* certifier() override { return &certifier_; }

  keybroker::client::Channel* broker() override { return &channel_; }

  void keep_receipt(base::ByteView receipt) override;

  base::Result<void> opened(const Opened& opened) override;
  void reopened(std::string_view opened_by) override;
  base::Result<void> converted() override;
  void changed(keybroker::protocol::Readiness readiness, std::string_view reason,
               bool hypervisor) override;

  void travelled(const Travel& travel) override;

  [[nodiscard]] std::stop_token stopping() const override { return stopping_.get_token(); }

  base::Descriptor successor() override { return std::move(successor_); }

  void hand_over_ended(const base::Result<void>& ended) override;
  void take_back_ended(const base::Result<void>& ended) override;
  void taken_over(const Opened& opened, std::chrono::microseconds pause) override;

  Belongings& belongings() override { return belongings_; }

  bool let_in() override;

  void loop_reads(bool reads) override;

  [[nodiscard]] int descriptor() const override { return link_.number(); }

  std::optional<LockoutQuestion> lockout_question() override;
  void answer_lockout(std::uint64_t serial,
                      const base::Result<vtpm::device::Device::Lockout>& lockout) override;

  Order order() override;

  // log() sends a line, or drops it if vtpmd is behind with reading: no command waits for a log.
  // False if vtpmd is gone. Any thread.
  bool log(base::LogLevel level, std::string_view line);

  // finish() is the last word, after run() has returned.
  void finish(const base::Result<void>& done);

 private:
  base::Result<strongroom::instance::v1::ToInstance> receive();
  base::Result<void> hand_out();
  base::Result<void> read_until(std::chrono::steady_clock::time_point deadline);
  void stop_early();
  bool take_order(bool (*is)(const strongroom::instance::v1::ToInstance&));
  base::Result<void> send(const strongroom::instance::v1::FromInstance& message);
  void send_state();

  base::Descriptor link_;
  vtpm::host::FrameReader received_;
  std::deque<strongroom::instance::v1::ToInstance> orders_;  // received, and for this alone
  std::deque<LockoutQuestion> lockout_questions_;

  // What was said last.
  strongroom::instance::v1::Opened opened_with_;
  keybroker::protocol::Readiness last_ = keybroker::protocol::Readiness::kProvisioning;
  std::string last_reason_;
  bool has_hypervisor_ = false;
  Travel travel_;

  Belongings belongings_;
  base::Descriptor successor_;
  bool is_successor_ = false;  // and has taken nothing over yet
  bool handed_over_ = false;

  bool awaits_serve_ = false;  // vtpmd has something to note about this start first
  bool opened_ = false;        // and from then on a stop is an orderly end
  bool stopped_early_ = false;
  std::stop_source stopping_;

  // Guards the writing side of the link.
  std::mutex sending_;

  LinkEnds ends();

  LinkCertifier certifier_;
  LinkChannel channel_;
};

// run_supervised() is the whole life of an instance that was forked for vtpmd. It gives the exit
// status of the process.
int run_supervised(vtpm::host::ChildEnds ends);

}  // namespace tools::vtpm_instance

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vtpm/engine/engine.h"
#include "vtpm/protocol/response_code.h"
#include "vtpm/provision/deferring_store.h"
#include "vtpm/provision/provision.h"
#include "vtpm/provision/report.h"
#include "vtpm/tee/tee.h"

namespace vtpm::provision {

// How many hardware reports a guest may cause: so many at once, and then one in each interval.
// Hosts and firmware limit them as well, and less politely.
struct ReportBudget {
  static constexpr int kBurst = 4;
  static constexpr std::chrono::seconds kInterval{2};
};

// ReportService keeps the report in a running TPM up with what its guest wrote into 0x01400002. It
// is asked before each command of the guest, on the thread that will run it, while no other command
// runs. A guest that has written its data and reads the report gets one that carries it, or
// TPM_RC_RETRY, or TPM_RC_NV_UNINITIALIZED where there will be none: never an older one.
//
// It writes by the password of the indices and reads the guest's data out of the TPM's state, so
// that neither authorizations nor full slots are in its way, and hierarchies, sessions and loaded
// objects stay as they are. An exclusive audit session of the guest (TPM 2.0 Part 1, 19.7) ends as
// by any other command.
class ReportService {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  // `engine` runs on `store`. `tee` is null for an ordinary VM. All of them outlive this.
  // `provisioned` is taken from, or says why there are no reports.
  ReportService(engine::Engine& engine, DeferringStore& store, tee::Tee* tee, Statement statement,
                base::Result<Provisioned> provisioned,
                Clock clock = std::chrono::steady_clock::now);

  // twin_descriptor() is readable when settle() need not wait; -1 where nothing is to be settled.
  [[nodiscard]] int twin_descriptor() const;

  // settle() hears from the twin whether the keys at the handles are the TPM's own. Where they are
  // not, there are no reports from then on, and the next start of the TPM makes the keys again. Any
  // thread; before() does it, too, before the first report.
  Obstacle settle();

  // awaits_mark() says whether what the twin found is still to be noted in the TPM, for its next
  // start: a process that goes on with the TPM would not know of it. Any thread.
  [[nodiscard]] bool awaits_mark() const;

  // restate() has the reports from now on say this: a guest that reads gets one that does. Any
  // thread.
  void restate(Statement statement);

  // before() sees a command of the guest, and gives the response in the TPM's stead where it must
  // not be run.
  std::optional<base::Bytes> before(base::ByteView command);

 private:
  enum class Answer { kRunIt, kLater, kNever };

  Obstacle settle_locked();
  void mark_distrusted();

  Answer refresh();
  base::Result<Answer> refresh_in(ESYS_CONTEXT* esys);
  base::Result<void> write(ESYS_CONTEXT* esys, const Report& report);
  bool holds_last_report(ESYS_CONTEXT* esys) const;
  bool spend();

  engine::Engine& engine_;
  DeferringStore& store_;
  tee::Tee* const tee_;
  const Clock clock_;

  mutable std::mutex settling_;  // guards what is claimed, and what is known of the keys
  Statement statement_;
  base::Result<Provisioned> provisioned_;
  std::optional<ClaimedKeys> keys_;
  Obstacle found_ = Obstacle::kNone;  // by the twin
  bool to_be_marked_ = false;

  // What was written last, and for which data.
  std::optional<Report> last_;
  UserData last_data_{};

  int budget_ = ReportBudget::kBurst;
  std::chrono::steady_clock::time_point refilled_;
};

}  // namespace vtpm::provision

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "vmgs/crypto/digest.h"
#include "vmgs/repair/examine.h"
#include "vmgs/repair/mend.h"
#include "vmgs/repair/packaging.h"
#include "vmgs/repair/window.h"
#include "vmgs/volume/volume.h"

namespace vmgs::repair {

namespace {

using format::FileId;
using volume::Finding;
using volume::Severity;

constexpr std::size_t kMostSteps = 100;

constexpr std::array<Mending, 18> kMendings = {
    mend_spacing,        mend_lone_header,    mend_lost_headers, mend_sequence_gap,
    mend_downgrade,      mend_extended_entry, mend_torn_commit,  mend_lost_table,
    mend_self_entry,     mend_entries,        mend_overlap,      mend_changes_without_key,
    mend_zero_key,       mend_keys,           mend_tpm_size,     mend_empty_files,
    mend_full_variables, mend_dropped_files,
};

using Readings = std::map<FileId, crypto::Sha256Digest>;

// Every file that reads, as whoever opens the store reads it.
base::Result<Readings> readings(storage::BlockDevice& device, format::HeaderSpacing spacing,
                                const volume::DatastoreKey* key) {
  auto opened = volume::Volume::open(device, spacing);
  if (!opened) {
    return opened.error().code == base::ErrorCode::kIo
               ? base::Result<Readings>(base::fail(std::move(opened).error()))
               : Readings();
  }
  if (opened->encrypted() && key != nullptr) {
    (void)opened->unlock(volume::fixed_key(key->clone())).has_value();
  }
  Readings result;
  for (const auto& file : opened->files()) {
    if (const auto content = opened->read(file.id)) {
      result[file.id] = crypto::sha256(content->expose());
    }
  }
  return result;
}

// The first file that would be lost or read otherwise without anybody's word.
std::optional<FileId> harmed(const Readings& before, const Readings& after,
                             const Outcome& outcome) {
  // Whatever may read otherwise, what opened does not stop opening.
  if (outcome.anything_changes && !before.empty() && after.empty()) {
    return before.begin()->first;
  }
  for (const auto& [id, digest] : before) {
    const auto now = after.find(id);
    if ((now == after.end() || now->second != digest) && !outcome.anything_changes &&
        !outcome.changed.contains(id)) {
      return id;
    }
  }
  return std::nullopt;
}

// The whole file on an overlay, and what has been found out about it so far.
class Attempt {
 public:
  Attempt(storage::BlockDevice& whole, const Patient& patient, const volume::DatastoreKey* key,
          const Wishes& wishes)
      : work_(whole), patient_(patient), key_(key), wishes_(wishes) {}

  base::Result<Plan> plan() {
    TRY_ASSIGN(before, examine_whole(work_, patient_, key_));
    plan_.before = before;
    plan_.after = std::move(before);
    while (plan_.steps.size() < kMostSteps) {
      plan_.open.clear();
      TRY_ASSIGN(went_on, take_one_step());
      if (!went_on) {
        break;
      }
      TRY_ASSIGN(after, examine_whole(work_, patient_, key_));
      plan_.after = std::move(after);
    }
    leave_the_rest();
    return std::move(plan_);
  }

 private:
  base::Result<bool> take_one_step() {
    const auto untouched = work_;
    const auto packaging = find_packaging(work_, patient_);
    {
      TRY_ASSIGN(before, present_readings(packaging));
      TRY_ASSIGN(taken, take(mend_packaging(work_, patient_, wishes_), before, untouched));
      if (taken) {
        return true;
      }
    }
    if (!packaging) {
      return false;
    }
    TRY_ASSIGN(before, present_readings(packaging));
    Window store(work_, packaging->store_bytes);
    const Case patient{store, packaging->spacing, key_, wishes_, plan_.after};
    for (const auto mend : kMendings) {
      TRY_ASSIGN(taken, take(mend(patient), before, untouched));
      if (taken) {
        return true;
      }
    }
    return false;
  }

  base::Result<Readings> present_readings(const base::Result<Packaging>& packaging) {
    if (!packaging) {
      return Readings();
    }
    Window store(work_, packaging->store_bytes);
    return readings(store, packaging->spacing, key_);
  }

  // Judges what a mending did. What is not taken is taken back.
  base::Result<bool> take(Mended mended, const Readings& before,
                          const storage::Overlay& untouched) {
    if (!mended && mended.error().code == base::ErrorCode::kIo) {
      return base::fail(std::move(mended).error());
    }
    if (!mended) {
      plan_.open.push_back({"not-mended", Severity::kError, "store", mended.error().message});
      work_ = untouched;
      return false;
    }
    if (!*mended) {
      work_ = untouched;
      return false;
    }
    auto& outcome = **mended;
    if (!outcome.done) {
      plan_.open.push_back({outcome.code, severity_of(outcome), outcome.where, outcome.message});
      work_ = untouched;
      return false;
    }
    const auto packaging = find_packaging(work_, patient_);
    TRY_ASSIGN(after, present_readings(packaging));
    const auto victim = harmed(before, after, outcome);
    const bool again = std::any_of(plan_.steps.begin(), plan_.steps.end(), [&](const Step& step) {
      return step.code == outcome.code && step.where == outcome.where &&
             step.message == outcome.message;
    });
    if (victim || again) {
      plan_.open.push_back({outcome.code, Severity::kError, outcome.where,
                            victim ? "the repair is known, but " + format::describe(*victim) +
                                         " would not read as it does now: copy it out with `vmgs "
                                         "read`, and take it out with `vmgs delete` first"
                                   : "the repair does not last: look after the disk"});
      work_ = untouched;
      return false;
    }
    plan_.steps.push_back({outcome.code, outcome.where, outcome.message, work_.take_operations()});
    return true;
  }

  // As bad as what was found there.
  [[nodiscard]] Severity severity_of(const Outcome& outcome) const {
    auto found = std::find_if(plan_.after.begin(), plan_.after.end(),
                              [&](const Finding& finding) { return finding.code == outcome.code; });
    if (found == plan_.after.end()) {
      found = std::find_if(plan_.after.begin(), plan_.after.end(),
                           [&](const Finding& finding) { return finding.where == outcome.where; });
    }
    return found == plan_.after.end() ? Severity::kError : found->severity;
  }

  // Errors that no mending spoke of are left to people.
  void leave_the_rest() {
    for (const auto& finding : plan_.after) {
      const bool spoken_of =
          std::any_of(plan_.open.begin(), plan_.open.end(), [&](const Finding& open) {
            return open.where == finding.where || open.code == finding.code;
          });
      if (finding.severity == Severity::kError && !spoken_of) {
        plan_.open.push_back(finding);
        plan_.open.back().message += advice(finding.code);
      }
    }
  }

  static std::string advice(const std::string& code) {
    static const std::map<std::string, std::string> kAdvice = {
        {"auth-failure",
         ". Nothing can be repaired in what does not authenticate: `vmgs previous` may have a "
         "whole copy, `vmgs salvage` looks further, and --drop ID takes the file out"},
        {"unreadable-file", ". Copy the disk with a tool that passes over bad sectors first"},
        {"bad-content",
         ". The store keeps it as it was written; write a good copy with `vmgs write`, or start "
         "from a backup"},
        {"wrong-key",
         ". Find the right key; nothing is wrong with the store as far as can be told"},
        {"not-encrypted", ". Leave --key out if that is right"},
        {"blank", ". `vmgs create` makes a new one"},
        {"version-1", ". Convert it with the tool that made it"},
    };
    const auto found = kAdvice.find(code);
    return found == kAdvice.end() ? std::string() : found->second;
  }

  storage::Overlay work_;
  const Patient& patient_;
  const volume::DatastoreKey* key_;
  const Wishes& wishes_;
  Plan plan_;
};

}  // namespace

const Finding* Case::found(std::string_view code) const {
  const auto place = std::find_if(findings.begin(), findings.end(),
                                  [&](const Finding& finding) { return finding.code == code; });
  return place == findings.end() ? nullptr : &*place;
}

base::Result<Plan> plan_repair(storage::BlockDevice& whole, const Patient& patient,
                               const volume::DatastoreKey* key, const Wishes& wishes) {
  return Attempt(whole, patient, key, wishes).plan();
}

base::Result<void> apply(storage::ResizableDevice& whole, const Step& step) {
  for (const auto& operation : step.operations) {
    TRY(storage::apply(whole, operation));
  }
  return whole.flush();
}

base::Result<std::vector<Finding>> examine_whole(storage::BlockDevice& whole,
                                                 const Patient& patient,
                                                 const volume::DatastoreKey* key) {
  auto packaging = find_packaging(whole, patient);
  if (!packaging && packaging.error().code == base::ErrorCode::kIo) {
    return base::fail(std::move(packaging).error());
  }
  if (!packaging) {
    return std::vector<Finding>{
        {"bad-container", Severity::kError, "container", packaging.error().message}};
  }
  Window store(whole, packaging->store_bytes);
  TRY_ASSIGN(examination, examine(store, packaging->spacing, key));
  auto findings = std::move(packaging->findings);
  findings.insert(findings.end(), examination.findings.begin(), examination.findings.end());
  return findings;
}

}  // namespace vmgs::repair

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/explanation.h"

#include <algorithm>
#include <array>
#include <utility>

#include "vmgs/format/tpm_state.h"
#include "vmgs/inspect/unlock_ways.h"

namespace vmgs::inspect {

namespace {

using format::FileId;
using format::TpmStateForm;
using volume::Severity;

// A finding of the examination, and what is done about it.
struct Remedy {
  std::string_view code;
  std::string_view command;  // FILE is replaced
  std::string_view purpose;
};

constexpr std::array kRemedies = {
    Remedy{"zero-metadata-key", "vmgs rekey FILE --key KEY --new-key NEW",
           "seals everything under fresh keys; take what was in the store for known to others"},
    Remedy{"two-keys", "vmgs rekey FILE --key KEY --new-key NEW",
           "finishes the change of key that was interrupted"},
    Remedy{"edited-without-key", "vmgs repair FILE --key KEY --apply",
           "accepts the change, once you know who made it; an instance refuses the store until "
           "then"},
    Remedy{"one-barrier", "vmgs close FILE --key KEY",
           "makes the newest state safe for programs of other makers"},
    Remedy{"fell-back", "vmgs close FILE --key KEY",
           "makes the older state, which is taken because the newest commit was cut off, the "
           "durable one"},
    Remedy{"auth-failure", "vmgs previous list FILE --key KEY",
           "shows whether the generation before still has the file whole"},
    Remedy{"overlap", "vmgs repair FILE",
           "proposes which of the files that claim the same blocks to keep; until then nothing "
           "may be written to the store"}};

std::string command(std::string_view text, const std::string& file) {
  std::string filled(text);
  if (const auto at = filled.find("FILE"); at != std::string::npos) {
    filled.replace(at, 4, file);
  }
  return "`" + filled + "`";
}

std::string which(const Side& side) {
  return "slot " + std::to_string(side.generation->slot()) + ", sequence " +
         std::to_string(side.generation->header().sequence);
}

std::string what_is(const StoreInQuestion& store) {
  const auto& survey = store.survey;
  std::string what = "a guest-state store, ";
  what += store.provenance.origin == Origin::kUnknown ? "of unknown origin"
                                                      : std::string(name(store.provenance.origin));
  if (survey.state() == nullptr) {
    return what + ", without a header that can be followed";
  }
  const auto& header = survey.state()->generation->header();
  what += header.encrypted ? ", encrypted" : ", in plaintext";
  return what + " (" + which(*survey.state()) + ")";
}

bool has_finding(const repair::Examination& examination, std::string_view code) {
  return std::any_of(examination.findings.begin(), examination.findings.end(),
                     [&](const volume::Finding& finding) { return finding.code == code; });
}

void add_remedies(const StoreInQuestion& store, Explanation& told) {
  for (const auto& remedy : kRemedies) {
    if (has_finding(store.examination, remedy.code)) {
      told.next.push_back(command(remedy.command, store.file) + " " + std::string(remedy.purpose));
    }
  }
}

void add_salvage(const StoreInQuestion& store, Explanation& told) {
  told.next.push_back("Work on a copy: `cp --sparse=never " + store.file + " COPY`");
  told.next.push_back(command("vmgs repair FILE --key KEY", store.file) +
                      " shows what can be repaired, and does it with --apply (leave --key out "
                      "for a store in plaintext)");
  told.next.push_back(command("vmgs salvage FILE FOLDER --key KEY", store.file) +
                      " pulls out every file that still authenticates, changing nothing");
}

// Neither header can be followed, or both can.
void explain_disorder(const StoreInQuestion& store, Explanation& told) {
  const auto& sides = store.survey.sides;
  told.verdict = Verdict::kDamaged;
  if (sides[0].generation && sides[1].generation) {
    told.why.push_back(
        "both headers are whole, with sequences " +
        std::to_string(sides[0].generation->header().sequence) + " and " +
        std::to_string(sides[1].generation->header().sequence) +
        ". A writer leaves two that follow each other, so one of them is from another time: a "
        "part of an old copy was put over the file, or two programs wrote to it");
    told.next.push_back(command("vmgs map FILE", store.file) +
                        " shows what each of them leads to: decide which is the VM's last state");
  } else {
    for (std::size_t slot = 0; slot < sides.size(); ++slot) {
      told.why.push_back("header slot " + std::to_string(slot) + " is " +
                         (sides.at(slot).header.blank
                              ? std::string("blank")
                              : "wrong: " + sides.at(slot).header.header.error().message));
    }
    told.why.emplace_back(
        "nothing else in the file says where its tables are, so nothing opens it as it lies, with "
        "no key and on no machine. The contents themselves may be whole");
  }
  add_salvage(store, told);
}

void explain_bad_table(const StoreInQuestion& store, Explanation& told) {
  const auto& state = *store.survey.state();
  told.verdict = Verdict::kDamaged;
  told.why.push_back("the file table that the newest header names (" + which(state) +
                     ") breaks the format: " + state.generation->table().error().message);
  const auto* previous = store.survey.previous();
  if (previous != nullptr && previous->generation->table()) {
    told.why.push_back("the generation before it (" + which(*previous) +
                       ") has a table that is right: the VM's state of one commit earlier");
    told.next.push_back(command("vmgs previous list FILE --key KEY", store.file) +
                        " shows what that one still holds");
  }
  add_salvage(store, told);
}

void explain_key(const StoreInQuestion& store, Explanation& told) {
  const auto& survey = store.survey;
  const auto& slots = survey.state()->generation->header().key_slots;
  switch (survey.key) {
    case KeyFit::kNone:
      told.verdict = Verdict::kNeedsKey;
      told.why.push_back(
          "it is encrypted, and no key was given: its plaintext files can be read, "
          "unverified, and nothing else");
      break;
    case KeyFit::kWrong:
      told.verdict = Verdict::kWrongKey;
      told.why.push_back(
          "the key that was given opens no key slot: it is another store's key, or "
          "one from before the last change of key");
      told.next.emplace_back(
          "Look for the key of this very store: the service that runs the VM "
          "knows where it takes it from");
      break;
    case KeyFit::kStale:
      told.verdict = Verdict::kWrongKey;
      told.why.push_back(
          slots[0] && slots[1]
              ? "the key opens a key slot and not the sealed table: a change of key was "
                "interrupted, somebody wrote with the other key since, and this one is stale"
              : "the key opens a key slot and not the sealed table: the table is damaged or torn, "
                "or somebody put an old header back");
      told.next.push_back(slots[0] && slots[1]
                              ? "Try the other key, the new one or the old one of that change"
                              : command("vmgs salvage FILE FOLDER --key KEY", store.file) +
                                    " pulls out what this key still opens");
      break;
    case KeyFit::kUnusable:
      told.verdict = Verdict::kDamaged;
      told.why.push_back("the key cannot be tried: " + survey.key_error->message);
      add_salvage(store, told);
      break;
    case KeyFit::kNotEncrypted:
    case KeyFit::kOpens:
      break;
  }
  if (slots[0] && slots[1]) {
    told.why.emplace_back(
        "two keys are in its header: a change of key was interrupted, and either "
        "of the two may open it");
  }
}

void explain_downgrade(Explanation& told) {
  told.verdict = Verdict::kDamaged;
  told.why.emplace_back(
      "a key was given, and the header says that the store is not encrypted. If it ever was, "
      "somebody made it look unprotected: do not start the VM on it");
  told.next.emplace_back("Compare it with a backup, and ask who wrote to its storage");
}

// A TPM state that opens as a file and that an instance of ours still refuses.
void explain_tpm(storage::BlockDevice& device, const StoreInQuestion& store, Explanation& told) {
  const auto& state = *store.survey.state();
  if (!state.entries.at(format::index(FileId::kTpmNvram))) {
    if (!store.survey.encrypted() || store.survey.unlocked()) {
      told.why.emplace_back(
          "there is no TPM_NVRAM (3) in it: a VM that is started with it and "
          "without --create stops, and one with --create makes a new TPM");
    }
    return;
  }
  const auto content = state.generation->read_file(device, FileId::kTpmNvram);
  if (!content) {
    return;
  }
  const auto form = format::recognise_tpm_state(content->expose());
  if (form == TpmStateForm::kOurs) {
    if (const auto whole = format::decode_tpm_state(content->expose()); !whole) {
      told.verdict = Verdict::kOpensDamaged;
      told.why.push_back("TPM_NVRAM (3) is ours and not usable: " + whole.error().message);
      told.next.push_back(command("vmgs previous list FILE --key KEY", store.file) +
                          " shows whether the generation before has it whole");
    }
    return;
  }
  told.why.push_back("TPM_NVRAM (3) is " + std::string(format::describe(form)) +
                     ": whoever made the VM runs it, and an instance of ours refuses it");
  if (form == TpmStateForm::kSwtpm || form == TpmStateForm::kSwtpmEncrypted) {
    told.next.emplace_back(
        "`vtpmctl adopt` takes a TPM of swtpm's over, with its keys and seeds, "
        "from the folder that swtpm kept it in");
  } else if (form == TpmStateForm::kReferenceImage || form == TpmStateForm::kReferenceImageCut) {
    told.next.emplace_back(
        "Start the VM where it was made (Hyper-V, OpenHCL). Its TPM's keys "
        "cannot be carried over into another engine: a new TPM under ours "
        "means that BitLocker asks for its recovery key");
  }
}

// What the examination found, in its own words, errors first.
void add_findings(const StoreInQuestion& store, Explanation& told) {
  for (const auto severity : {Severity::kError, Severity::kWarning}) {
    for (const auto& finding : store.examination.findings) {
      const bool is_told = finding.code == "wrong-key" || finding.code == "stale-key" ||
                           finding.code == "not-encrypted" || finding.code == "two-keys" ||
                           (finding.code == "bad-file-table" && told.verdict == Verdict::kDamaged);
      if (finding.severity == severity && !is_told) {
        told.why.push_back(finding.where + ": " + finding.message);
      }
    }
  }
}

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOpens:
      return "opens";
    case Verdict::kNeedsKey:
      return "needs-key";
    case Verdict::kWrongKey:
      return "wrong-key";
    case Verdict::kOpensDamaged:
      return "opens-damaged";
    case Verdict::kDamaged:
      return "damaged";
    case Verdict::kBlank:
      return "blank";
    case Verdict::kNotAStore:
      return "not-a-store";
    case Verdict::kOutOfReach:
      return "out-of-reach";
  }
  return {};
}

Explanation explain_store(storage::BlockDevice& device, const StoreInQuestion& store) {
  Explanation told;
  told.what = what_is(store);
  const auto& survey = store.survey;
  if (survey.state() == nullptr) {
    explain_disorder(store, told);
    return told;
  }
  if (!survey.state()->generation->table()) {
    explain_bad_table(store, told);
  } else if (survey.encrypted()) {
    explain_key(store, told);
    if (survey.key != KeyFit::kOpens) {
      told.opens_it = unlock_ways(device, *survey.state());
    }
  } else if (survey.key == KeyFit::kNotEncrypted) {
    explain_downgrade(told);
  }
  const bool has_errors = !store.examination.clean();
  if (has_errors && (told.verdict == Verdict::kOpens || told.verdict == Verdict::kNeedsKey)) {
    told.verdict = Verdict::kOpensDamaged;
  }
  add_findings(store, told);
  if (survey.state()->generation->table()) {
    explain_tpm(device, store, told);
  }
  add_remedies(store, told);
  if (told.verdict == Verdict::kNeedsKey) {
    told.next.push_back("Start the VM where one of these is at hand, or look with the key: " +
                        command("vmgs explain FILE --key KEY", store.file));
  }
  if (store.provenance.origin == Origin::kSimulated) {
    told.why.push_back(store.provenance.reasons.front());
  }
  if (told.next.empty()) {
    told.next.push_back(told.verdict == Verdict::kOpens
                            ? "Nothing in the store keeps a VM from starting with it; look at the "
                              "log of its service"
                            : command("vmgs check FILE --key KEY", store.file) +
                                  " says everything that is wrong");
  }
  return told;
}

Explanation explain_file(FileKind kind, const std::string& file) {
  Explanation told;
  told.verdict = kind == FileKind::kZeros ? Verdict::kBlank : Verdict::kNotAStore;
  told.what = std::string(describe(kind));
  told.why.emplace_back(kind == FileKind::kZeros
                            ? "there is no header in it, and nothing else"
                            : "a guest-state store begins with a header, and this does not");
  if (const auto advice = advise(kind); !advice.empty()) {
    std::string filled(advice);
    for (auto at = filled.find("FILE"); at != std::string::npos;
         at = filled.find("FILE", at + file.size())) {
      // UNDOFILE is another's name.
      if (at == 0 || filled[at - 1] == ' ') {
        filled.replace(at, 4, file);
      }
    }
    told.next.push_back(std::move(filled));
  } else {
    told.next.emplace_back("Look at what the VM's configuration names as its guest state");
  }
  return told;
}

}  // namespace vmgs::inspect

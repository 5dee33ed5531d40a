// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "vmgs/repair/mend.h"
#include "vmgs/uefi/variable_store.h"

namespace vmgs::repair {

using format::FileId;

Mended mend_full_variables(const Case& patient) {
  const auto finding = std::find_if(
      patient.findings.begin(), patient.findings.end(), [](const volume::Finding& each) {
        return each.code == "variables-full" && each.where == format::describe(FileId::kUefiFlash);
      });
  if (finding == patient.findings.end()) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(store, open_with_key(patient));
  if (!store) {
    return std::optional<Outcome>();
  }
  TRY_ASSIGN(content, store->read(FileId::kUefiFlash));
  TRY_ASSIGN(variables,
             uefi::VariableStore::open(uefi::StoreForm::kFlash, base::copy_of(content.expose())));
  const auto freed = variables.room().used - variables.room().packed;
  if (freed == 0) {
    return std::optional<Outcome>();
  }
  const auto bytes = std::to_string(freed) + " bytes of deleted variables";
  if (!patient.accepts(finding->code)) {
    return std::optional(not_done(finding->code, finding->where,
                                  "firmware takes " + bytes +
                                      " back when it next needs room: say --accept variables-full "
                                      "to do so now"));
  }
  TRY(variables.pack());
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  transaction.put(FileId::kUefiFlash, variables.content(),
                  store->current().is_encrypted(FileId::kUefiFlash)
                      ? volume::Protection::kAsStore
                      : volume::Protection::kPlaintext);
  TRY(store->commit(transaction));
  auto outcome = done(finding->code, finding->where, "take " + bytes + " back");
  outcome.changed.insert(FileId::kUefiFlash);
  return std::optional(std::move(outcome));
}

}  // namespace vmgs::repair

// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/tee.h"

#include <algorithm>
#include <span>

#include "keybroker/evidence/snp_tcb.h"

namespace vtpm::tee {

std::string describe(const Svn& svn, SvnLayout layout) {
  const std::span<const std::byte, 32> bytes(svn);
  if (layout == SvnLayout::kTdx) {
    return "TEE_TCB_SVN " + base::to_hex(bytes.first<16>()) + ", CPUSVN " +
           base::to_hex(bytes.last<16>());
  }
  const auto form = layout == SvnLayout::kSnpTurin ? keybroker::evidence::TcbForm::kTurin
                                                   : keybroker::evidence::TcbForm::kMilanGenoa;
  keybroker::evidence::RawTcb tcb{};
  std::copy_n(bytes.begin(), tcb.size(), tcb.begin());
  return keybroker::evidence::describe(keybroker::evidence::decode_tcb(tcb, form), form);
}

}  // namespace vtpm::tee

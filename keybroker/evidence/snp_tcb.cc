// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_tcb.h"

namespace keybroker::evidence {

namespace {

std::uint8_t at(const RawTcb& raw, std::size_t index) {
  return std::to_integer<std::uint8_t>(raw.at(index));
}

}  // namespace

TcbVersion decode_tcb(const RawTcb& raw, TcbForm form) {
  if (form == TcbForm::kTurin) {
    return {.fmc = at(raw, 0),
            .boot_loader = at(raw, 1),
            .tee = at(raw, 2),
            .snp = at(raw, 3),
            .microcode = at(raw, 7)};
  }
  return {.fmc = 0,
          .boot_loader = at(raw, 0),
          .tee = at(raw, 1),
          .snp = at(raw, 6),
          .microcode = at(raw, 7)};
}

RawTcb encode_tcb(const TcbVersion& tcb, TcbForm form) {
  RawTcb raw{};
  raw[7] = std::byte{tcb.microcode};
  if (form == TcbForm::kTurin) {
    raw[0] = std::byte{tcb.fmc};
    raw[1] = std::byte{tcb.boot_loader};
    raw[2] = std::byte{tcb.tee};
    raw[3] = std::byte{tcb.snp};
  } else {
    raw[0] = std::byte{tcb.boot_loader};
    raw[1] = std::byte{tcb.tee};
    raw[6] = std::byte{tcb.snp};
  }
  return raw;
}

bool reaches(const TcbVersion& tcb, const TcbVersion& wanted) {
  return tcb.fmc >= wanted.fmc && tcb.boot_loader >= wanted.boot_loader && tcb.tee >= wanted.tee &&
         tcb.snp >= wanted.snp && tcb.microcode >= wanted.microcode;
}

std::string describe(const TcbVersion& tcb, TcbForm form) {
  const std::string fmc = form == TcbForm::kTurin ? "FMC " + std::to_string(tcb.fmc) + ", " : "";
  return fmc + "boot loader " + std::to_string(tcb.boot_loader) + ", TEE " +
         std::to_string(tcb.tee) + ", SNP " + std::to_string(tcb.snp) + ", microcode " +
         std::to_string(tcb.microcode);
}

}  // namespace keybroker::evidence

// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/snp_product.h"

namespace keybroker::evidence {

std::string_view name(SnpProduct product) {
  switch (product) {
    case SnpProduct::kMilan:
      return "Milan";
    case SnpProduct::kGenoa:
      return "Genoa";
    case SnpProduct::kTurin:
      return "Turin";
  }
  return "";
}

std::optional<SnpProduct> parse_snp_product(std::string_view text) {
  for (const auto product : {SnpProduct::kMilan, SnpProduct::kGenoa, SnpProduct::kTurin}) {
    if (text == name(product)) {
      return product;
    }
  }
  return std::nullopt;
}

std::optional<SnpProduct> product_of(const SnpCpu& cpu) {
  if (cpu.family == 0x19) {
    if (cpu.model <= 0x0F) {
      return SnpProduct::kMilan;
    }
    // A0h to AFh are the dense parts of the Genoa line; they chain to its root.
    if (cpu.model <= 0x1F || (cpu.model >= 0xA0 && cpu.model <= 0xAF)) {
      return SnpProduct::kGenoa;
    }
  }
  if (cpu.family == 0x1A && cpu.model <= 0x11) {
    return SnpProduct::kTurin;
  }
  return std::nullopt;
}

TcbForm tcb_form(SnpProduct product) {
  return product == SnpProduct::kTurin ? TcbForm::kTurin : TcbForm::kMilanGenoa;
}

RootSlot root_slot(SnpProduct product) {
  switch (product) {
    case SnpProduct::kMilan:
      return RootSlot::kAmdMilan;
    case SnpProduct::kGenoa:
      return RootSlot::kAmdGenoa;
    case SnpProduct::kTurin:
      break;
  }
  return RootSlot::kAmdTurin;
}

}  // namespace keybroker::evidence

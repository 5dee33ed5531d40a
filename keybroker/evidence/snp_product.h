// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/snp_tcb.h"
#include "keybroker/evidence/trust_store.h"

namespace keybroker::evidence {

// A line of processors that share roots and the form of their TCB_VERSION.
enum class SnpProduct : std::uint8_t { kMilan, kGenoa, kTurin };

// name() is "Milan", as certificates spell it; parse_snp_product() reads it.
std::string_view name(SnpProduct product);
std::optional<SnpProduct> parse_snp_product(std::string_view text);

// product_of() is the line of a processor by its CPUID. Nothing for one that is not known here;
// model is of no use without family, and what follows Turin has no root yet.
std::optional<SnpProduct> product_of(const SnpCpu& cpu);

TcbForm tcb_form(SnpProduct product);
RootSlot root_slot(SnpProduct product);

}  // namespace keybroker::evidence

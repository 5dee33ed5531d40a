// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/protector_report.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "vmgs/format/hw_key_protector.h"
#include "vmgs/format/key_protector.h"
#include "vmgs/format/sealed_keys.h"
#include "vmgs/inspect/unlock_ways.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;
namespace json = boost::json;
using format::FileId;

namespace {

FileMeaning unreadable(std::string trouble) {
  return {.summary = "not what its id says", .fields = {}, .trouble = std::move(trouble)};
}

std::size_t used_bytes(base::ByteView slot) {
  const auto last =
      std::find_if(slot.rbegin(), slot.rend(), [](std::byte each) { return each != std::byte{0}; });
  return static_cast<std::size_t>(slot.rend() - last);
}

// How a data encryption key seems to be wrapped, by what of its slot is in use.
std::string wrapping_of(base::ByteView slot) {
  const auto used = used_bytes(slot);
  if (used == 0) {
    return "empty";
  }
  if (used <= format::kAesWrappedDekBytes) {
    return "AES-256 key wrap";
  }
  // A ciphertext of RSA ends in a zero byte once in 256 times, so the modulus is the next size up.
  for (const std::size_t modulus : {256U, 384U, 512U}) {
    if (used <= modulus) {
      return "RSA-" + std::to_string(modulus * 8);
    }
  }
  return "unknown";
}

FileMeaning meaning_of_key_protector(base::ByteView content) {
  const auto protector = format::decode_key_protector(content, format::DekWrapping::kAesKeyWrap);
  if (!protector) {
    return unreadable(protector.error().message);
  }
  json::array slots;
  std::string summary;
  for (std::size_t slot = 0; slot < protector->dek.size(); ++slot) {
    const bool is_ingress = slot == protector->ingress();
    const auto wrapping = wrapping_of(protector->dek.at(slot));
    slots.push_back({{"slot", slot},
                     {"opens", is_ingress},
                     {"key", wrapping},
                     {"host_seed_bytes", protector->gsp.at(slot).length}});
    if (is_ingress) {
      summary = wrapping == "empty" ? "no wrapped key" : "a key wrapped by " + wrapping;
      summary += protector->gsp.at(slot).length != 0 ? ", with a seed of the host" : "";
    }
  }
  return {.summary = summary + " opens the store",
          .fields = {{"active", protector->active}, {"slots", std::move(slots)}},
          .trouble = {}};
}

FileMeaning meaning_of_hw_key_protector(base::ByteView content) {
  const auto protector = format::decode_hw_key_protector(content);
  if (!protector) {
    return unreadable(protector.error().message);
  }
  const std::string tee = protector->tdx ? "TDX" : "SEV-SNP";
  return {.summary = "sealed to " + tee + " hardware, " +
                     (protector->mix_measurement ? "to one measurement" : "to a signer") + ", " +
                     inspect::tcb_words(!protector->tdx, protector->svn),
          .fields = {{"version", protector->version},
                     {"tee", tee},
                     {"bound_to_measurement", protector->mix_measurement},
                     {"tcb", inspect::tcb_words(!protector->tdx, protector->svn)},
                     {"svn", base::to_hex(protector->svn)}},
          .trouble = {}};
}

FileMeaning meaning_of_sealed_keys(base::ByteView content) {
  const auto entries = format::decode_sealed_keys(content);
  if (!entries) {
    return unreadable(entries.error().message);
  }
  json::array rows;
  std::string summary;
  for (const auto& entry : *entries) {
    const bool is_snp = format::is_snp(entry.tee_type);
    const auto tee = format::name(entry.tee_type);
    summary += (summary.empty() ? "sealed to " : "; and to ") + std::string(tee) + ", " +
               inspect::tcb_words(is_snp, entry.svn);
    rows.push_back({{"tee", tee},
                    {"simulated", format::is_simulated(entry.tee_type)},
                    {"vm_id", format::to_string(entry.vm_id)},
                    {"tcb", inspect::tcb_words(is_snp, entry.svn)},
                    {"measurement", base::to_hex(entry.measurement)},
                    {"launch_digest", base::to_hex(entry.launch_digest)}});
  }
  return {.summary = summary, .fields = {{"entries", std::move(rows)}}, .trouble = {}};
}

}  // namespace

FileMeaning meaning_of_protector(FileId id, base::ByteView content) {
  switch (id) {
    case FileId::kKeyProtector:
      return meaning_of_key_protector(content);
    case FileId::kHwKeyProtector:
      return meaning_of_hw_key_protector(content);
    default:
      return meaning_of_sealed_keys(content);
  }
}

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#include "keybroker/evidence/trust_store.h"

#include <algorithm>
#include <array>
#include <string>

namespace keybroker::evidence {

namespace {

using crypto::Fingerprint;

constexpr std::array kSlots{RootSlot::kAmdMilan, RootSlot::kAmdGenoa, RootSlot::kAmdTurin,
                            RootSlot::kIntelSgx};

consteval Fingerprint fingerprint(std::string_view digits) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  Fingerprint bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(value(digits[2 * i]) * 16 + value(digits[2 * i + 1]));
  }
  return bytes;
}

auto denied(const crypto::Certificate& root, const std::string& why) {
  return base::fail(base::ErrorCode::kDenied, "the root " + root.subject() + " " + why);
}

bool has_key_of(RootSlot slot, const crypto::Certificate& root) {
  const auto& key = root.public_key();
  if (!key) {
    return false;
  }
  return slot == RootSlot::kIntelSgx ? key->curve() == crypto::Curve::kP256
                                     : key->is_rsa() && key->bits() == 4096;
}

}  // namespace

std::string_view name(RootClass root_class) {
  return root_class == RootClass::kProduction ? "production" : "simulated";
}

std::string_view common_name(RootSlot slot) {
  switch (slot) {
    case RootSlot::kAmdMilan:
      return "ARK-Milan";
    case RootSlot::kAmdGenoa:
      return "ARK-Genoa";
    case RootSlot::kAmdTurin:
      return "ARK-Turin";
    case RootSlot::kIntelSgx:
      return "Intel SGX Root CA";
  }
  return "";
}

bool carries_simulated_marker(const crypto::Certificate& certificate) {
  const auto marker = certificate.extension(std::string(kSimulatedMarkerOid));
  return !marker || marker->has_value();
}

const TrustStore& TrustStore::production() {
  static const TrustStore store(
      RootClass::kProduction,
      {{RootSlot::kAmdMilan,
        fingerprint("69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd")},
       {RootSlot::kAmdGenoa,
        fingerprint("4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1")},
       {RootSlot::kAmdTurin,
        fingerprint("1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a")},
       {RootSlot::kIntelSgx,
        fingerprint("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")}});
  return store;
}

base::Result<TrustStore> TrustStore::simulated(std::span<const SlottedRoot> roots) {
  std::vector<Pin> pins;
  for (const auto& [slot, root] : roots) {
    if (!carries_simulated_marker(root)) {
      return denied(root, "does not say that it is simulated");
    }
    if (root.subject_common_name() != common_name(slot) || !has_key_of(slot, root)) {
      return denied(root, "cannot stand in for " + std::string(common_name(slot)));
    }
    if (std::ranges::find(pins, slot, &Pin::slot) != pins.end()) {
      return denied(root, "is the second of its name");
    }
    pins.push_back({slot, root.fingerprint()});
  }
  return TrustStore(RootClass::kSimulated, std::move(pins));
}

bool TrustStore::trusts(RootSlot slot, const crypto::Certificate& certificate) const {
  return std::ranges::any_of(pins_, [&](const Pin& pin) {
    return pin.slot == slot && pin.fingerprint == certificate.fingerprint();
  });
}

std::optional<RootSlot> slot_of(const crypto::Certificate& root) {
  const auto name = root.subject_common_name();
  const auto slot = std::ranges::find(kSlots, name, common_name);
  return slot == kSlots.end() ? std::nullopt : std::optional(*slot);
}

}  // namespace keybroker::evidence

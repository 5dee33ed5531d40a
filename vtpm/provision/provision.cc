// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/provision.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include "vmgs/base/log.h"
#include "vmgs/format/tpm_nv_memory.h"
#include "vtpm/provision/index_provisioning.h"
#include "vtpm/provision/tpm_life.h"
#include "vtpm/provision/twin.h"

namespace vtpm::provision {

namespace {

using base::ErrorCode;

// What has become of the key of a place: the key, or what is in its way.
struct Outcome {
  std::optional<PublicKey> key;
  Obstacle obstacle = Obstacle::kNone;
  std::string reason;
};

std::string handle_text(TPM2_HANDLE handle) {
  std::array<char, 12> text{};
  std::snprintf(text.data(), text.size(), "0x%08x", static_cast<unsigned>(handle));
  return text.data();
}

// `expected` is the Name by the TPM's seeds; null for a TPM in which every key is made now.
base::Result<Outcome> settle(ESYS_CONTEXT* esys, const KeyPlace& place,
                             const base::Bytes* expected) {
  TRY_ASSIGN(there, key_at(esys, place.handle));
  if (there && expected != nullptr && there->name == *expected) {
    return Outcome{.key = std::move(there), .reason = {}};
  }
  auto made = put_key(esys, place);
  if (made) {
    if (expected != nullptr && made->name != *expected) {
      return base::fail(
          ErrorCode::kUnavailable,
          "the TPM and its twin make different keys for the " + std::string(place.what));
    }
    if (expected != nullptr) {
      base::log(base::LogLevel::kWarning,
                "the " + std::string(place.what) + " was made again: at " +
                    handle_text(place.handle) +
                    (there ? " there was another key" : " there was nothing"));
    }
    return Outcome{.key = *std::move(made), .reason = {}};
  }
  if (made.error().code != ErrorCode::kDenied) {
    return base::fail(std::move(made).error());
  }
  return Outcome{
      .key = std::nullopt,
      .obstacle = there ? Obstacle::kAkSquatted : Obstacle::kAkMissing,
      .reason = "at " + handle_text(place.handle) +
                (there ? " there is another key than the TPM's " : " there is no ") +
                std::string(place.what) +
                ", and the guest has set the owner or endorsement authorization, without which it "
                "cannot be made (" +
                made.error().message + ")"};
}

// What is there, if all of it is and looks as it should.
base::Result<std::optional<std::vector<Outcome>>> as_expected(ESYS_CONTEXT* esys,
                                                              std::span<const KeyPlace> places) {
  std::vector<Outcome> outcomes;
  for (const auto& place : places) {
    TRY_ASSIGN(there, key_at(esys, place.handle));
    if (!there || !follows_template(*there, place)) {
      return std::optional<std::vector<Outcome>>();
    }
    outcomes.push_back({.key = std::move(there), .reason = {}});
  }
  return std::optional<std::vector<Outcome>>(std::move(outcomes));
}

// A state that cannot be read is as good as one with a mark: then the start waits.
bool is_distrusted(base::ByteView permanent_state) {
  const auto indices = vmgs::format::decode_tpm_nv_indices(permanent_state);
  if (!indices) {
    return true;
  }
  const auto found =
      std::ranges::find(*indices, kExtendedClaimsIndex, &vmgs::format::TpmNvIndex::index);
  const auto mark = base::bytes_of(kDistrustMark);
  return found != indices->end() && found->content.size() >= mark.size() &&
         std::ranges::equal(found->content.first(mark.size()), mark);
}

base::Result<std::vector<Outcome>> settle_all(ESYS_CONTEXT* esys, std::span<const KeyPlace> places,
                                              const std::vector<base::Bytes>* expected) {
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < places.size(); ++i) {
    TRY_ASSIGN(outcome, settle(esys, places[i], expected != nullptr ? &(*expected)[i] : nullptr));
    outcomes.push_back(std::move(outcome));
  }
  return outcomes;
}

// The guest may keep us from it, and may have storage keys of its own.
base::Result<void> offer_storage_keys(ESYS_CONTEXT* esys) {
  for (const auto& place : storage_places()) {
    TRY_ASSIGN(there, key_at(esys, place.handle));
    if (there) {
      continue;
    }
    if (const auto made = put_key(esys, place); !made) {
      base::log(base::LogLevel::kInfo,
                "the TPM has no " + std::string(place.what) + ": " + made.error().message);
    }
  }
  return {};
}

// What proves nothing about the past: the seed, and with it the endorsement hierarchy's keys and
// authorization, are new (TPM 2.0 Part 3, 24.4).
base::Result<void> change_endorsement_seed(ESYS_CONTEXT* esys) {
  return checked(
      Esys_ChangeEPS(esys, ESYS_TR_RH_PLATFORM, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
      "changing the endorsement seed");
}

void take(Provisioned& provisioned, std::vector<Outcome>& attestation,
          std::vector<Outcome>& endorsement) {
  for (auto* group : {&endorsement, &attestation}) {
    for (const auto& outcome : *group) {
      // Of several obstacles the AK's counts; an EK that is missing leaves a TPM that attests.
      if (outcome.obstacle != Obstacle::kNone && group == &attestation) {
        provisioned.obstacle = outcome.obstacle;
        provisioned.reason = outcome.reason;
      } else if (outcome.obstacle != Obstacle::kNone) {
        base::log(base::LogLevel::kWarning, outcome.reason);
      }
    }
  }
  provisioned.rsa_ak = std::move(attestation[0].key);
  provisioned.ecc_ak = std::move(attestation[1].key);
  provisioned.rsa_ek = std::move(endorsement[0].key);
  provisioned.ecc_ek = std::move(endorsement[1].key);
}

}  // namespace

bool agrees(const Provisioned& provisioned, const TwinNames& names) {
  const auto same = [](const std::optional<PublicKey>& key, const base::Bytes& name) {
    return key && key->name == name;
  };
  return same(provisioned.rsa_ak, names.attestation[0]) &&
         same(provisioned.ecc_ak, names.attestation[1]) &&
         same(provisioned.rsa_ek, names.endorsement[0]) &&
         same(provisioned.ecc_ek, names.endorsement[1]);
}

namespace {

// The keys at the handles, if all are there, look as they should, and nothing has to wait for the
// twin to prove them: neither a certificate that is not theirs, nor one that is to be asked for.
base::Result<bool> take_as_they_are(ESYS_CONTEXT* esys, Provisioned& provisioned,
                                    const StoredCertificates& stored,
                                    const ProvisionWishes& wishes) {
  TRY_ASSIGN(attestation, as_expected(esys, attestation_places()));
  TRY_ASSIGN(endorsement, as_expected(esys, endorsement_places()));
  if (!attestation || !endorsement ||
      !certificates_fit(stored, *(*attestation)[0].key, *(*endorsement)[0].key, wishes)) {
    return false;
  }
  take(provisioned, *attestation, *endorsement);
  return true;
}

base::Result<void> settle_keys(ESYS_CONTEXT* esys, Provisioned& provisioned,
                               std::optional<Twin>& twin) {
  std::optional<TwinNames> expected;
  if (twin) {
    TRY_ASSIGN(names, twin->names());
    expected = std::move(names);
  }
  TRY_ASSIGN(attestation,
             settle_all(esys, attestation_places(), expected ? &expected->attestation : nullptr));
  TRY_ASSIGN(endorsement,
             settle_all(esys, endorsement_places(), expected ? &expected->endorsement : nullptr));
  take(provisioned, attestation, endorsement);
  return {};
}

}  // namespace

base::Result<Provisioned> provision(base::ByteView permanent_state, Past past,
                                    const ProvisionWishes& wishes) {
  std::optional<Twin> twin;
  StoredCertificates stored;
  if (past == Past::kUsed && !wishes.new_endorsement_seed) {
    stored = StoredCertificates::in(permanent_state);
    TRY_ASSIGN(started, Twin::start(permanent_state));
    twin.emplace(std::move(started));
  }
  Provisioned provisioned;
  TRY_ASSIGN(life, TpmLife::begin(permanent_state));
  ESYS_CONTEXT* const esys = life->esys();
  if (wishes.new_endorsement_seed) {
    TRY(change_endorsement_seed(esys));
  }
  TRY(offer_storage_keys(esys));
  bool settled = false;
  if (twin && !is_distrusted(permanent_state)) {
    TRY_ASSIGN(taken, take_as_they_are(esys, provisioned, stored, wishes));
    settled = taken;
  }
  if (settled) {
    provisioned.twin = std::move(twin);
  } else {
    TRY(settle_keys(esys, provisioned, twin));
  }
  renew_indices(esys, provisioned, stored, wishes);
  see_to_certificates(esys, provisioned, stored, wishes);
  TRY_ASSIGN(ended, life->end());
  provisioned.permanent_state = std::move(ended);
  return provisioned;
}

}  // namespace vtpm::provision

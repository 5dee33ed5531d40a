// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/provision.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <utility>
#include <vector>

#include "vmgs/base/log.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/tpm_nv_memory.h"
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

// Certificates outlive their index: the old one serves until there is a new one.
bool carries_over(TPM2_HANDLE index) {
  return index == kAkCertificateIndex || index == kAkChainIndex;
}

base::Result<void> renew_index(ESYS_CONTEXT* esys, TPM2_HANDLE index,
                               const IndexPassword& password) {
  base::Result<base::Bytes> content = base::fail(ErrorCode::kNotFound, "");
  if (carries_over(index)) {
    content = read_index(esys, index);
    if (!content && content.error().code == ErrorCode::kDenied) {
      return {};  // better an old certificate than none
    }
  }
  TRY(define_index(esys, index, password));
  if (carries_over(index) && !content) {
    return {};  // unwritten: that is how clients know that there is no certificate
  }
  // The Name of an index changes with its first write. It must not while a guest is reading the
  // first report, in a session that authorizes what it has seen.
  return write_index(esys, index, password, content ? *content : base::Bytes());
}

base::Result<void> renew_indices(ESYS_CONTEXT* esys, Provisioned& provisioned) {
  TRY_ASSIGN(drawn, vmgs::crypto::random_secret<32>());
  IndexPassword password{std::move(drawn)};
  for (const auto index : our_indices()) {
    if (const auto renewed = renew_index(esys, index, password); !renewed) {
      provisioned.obstacle = Obstacle::kIndexSquatted;
      provisioned.reason = renewed.error().message;
      return {};
    }
  }
  provisioned.index_password = std::move(password);
  return {};
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

base::Result<Provisioned> provision(base::ByteView permanent_state, Past past) {
  std::optional<Twin> twin;
  if (past == Past::kUsed) {
    TRY_ASSIGN(started, Twin::start(permanent_state));
    twin.emplace(std::move(started));
  }
  Provisioned provisioned;
  TRY_ASSIGN(life, TpmLife::begin(permanent_state));
  ESYS_CONTEXT* const esys = life->esys();
  TRY(renew_indices(esys, provisioned));
  TRY(offer_storage_keys(esys));
  bool settled = false;
  if (twin && !is_distrusted(permanent_state)) {
    TRY_ASSIGN(attestation, as_expected(esys, attestation_places()));
    TRY_ASSIGN(endorsement, as_expected(esys, endorsement_places()));
    if (attestation && endorsement) {
      take(provisioned, *attestation, *endorsement);
      provisioned.twin = std::move(twin);
      settled = true;
    }
  }
  if (!settled) {
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
  }
  TRY_ASSIGN(ended, life->end());
  provisioned.permanent_state = std::move(ended);
  return provisioned;
}

}  // namespace vtpm::provision

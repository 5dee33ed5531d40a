// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/provision/certification.h"
#include "vtpm/provision/keys.h"
#include "vtpm/provision/nv_indices.h"
#include "vtpm/provision/twin.h"

namespace vtpm::provision {

// Whether a guest can have used a TPM.
enum class Past {
  kNew,   // made just now: every key in it is its own
  kUsed,  // what is at the handles is whatever its guest left there
};

// What keeps a TPM from attesting. It works all the same.
enum class Obstacle {
  kNone,
  kAkMissing,     // the AK is gone, and the guest's authorizations keep us from making it again
  kAkSquatted,    // another key is at its handle, likewise
  kUnproven,      // whether the keys are the TPM's own could not be found out
  kIndexSquatted  // another index has the number of one of ours, and cannot be removed
};

// Provisioned is a TPM with what its clients look for: keys at their handles, and indices.
struct Provisioned {
  base::SecretBytes permanent_state;  // of the TPM, to be stored

  Obstacle obstacle = Obstacle::kNone;
  std::string reason;  // for people, where there is an obstacle

  // The keys at the handles, each proven to come from this TPM's own seeds; none that is not. Where
  // there is a twin, it has that to say still: they are there and look as they should.
  std::optional<PublicKey> rsa_ak;
  std::optional<PublicKey> ecc_ak;
  std::optional<PublicKey> rsa_ek;
  std::optional<PublicKey> ecc_ek;

  // What the indices are written with; null where there are none of ours.
  std::shared_ptr<const IndexPassword> index_password;

  // When the AK's certificate in its index should be replaced; nothing while there is none that is
  // good. Where certificates were asked for in vain, why: kDenied for a refusal that stays.
  std::optional<std::chrono::sys_seconds> renew_at;
  std::optional<std::chrono::sys_seconds> ends_at;  // and when it ends
  std::optional<base::Error> uncertified;

  std::optional<Twin> twin;
};

// What a start wants of provision() beside the keys.
struct ProvisionWishes {
  // Who certifies the AK, and when that is. Without it no certificate is asked for.
  std::optional<Vouching> vouching = std::nullopt;
  std::chrono::sys_seconds now{};

  // Whoever certifies has no good certificate of this TPM's on record, whatever its indices hold.
  bool ask_for_certificates = false;

  // The TPM gets another endorsement seed, and with it other keys: whoever held the state may have
  // read the old one. The owner's seed stays, and what the guest sealed with it. The certificates
  // of the keys that were are dropped.
  bool new_endorsement_seed = false;
};

// agrees() compares all the keys at the handles with what their twin says.
bool agrees(const Provisioned& provisioned, const TwinNames& names);

// What stands in the index of the extended claims of a TPM whose keys were found not to be its own
// while its guest was running. The next start waits for the twin and makes them again.
inline constexpr std::string_view kDistrustMark = "strongroom: keys not of this TPM";

// provision() gives the TPM a life of its own before the guest's (TpmLife): keys that are missing
// or not this TPM's are made again, the indices are defined anew under a fresh password, and the
// content of the certificate indices is carried over. The keys of a used TPM are compared with
// those of its twin (twin.h), whatever its guest has done to it: here, where anything is missing or
// odd, and else by whoever uses the keys, as a start must not wait for the twin. Storage keys are
// made where there is nothing, and are otherwise the guest's.
//
// Where there is somebody to certify the AK, and the indices hold no good certificate for this AK
// and its RSA EK in the first half of its life, the AK is proven, certified, and the certificates
// are written: a guest finds them at its first read. What keeps us from it is told in the result,
// and the old certificate stays if it is for this AK.
//
// What the guest's authorizations forbid is an obstacle and no error. kDenied for a TPM that
// sleeps, which has to be left alone. Any other error says that this TPM, at this start, cannot be
// provisioned; its state is as it was. No Engine may live in this process.
base::Result<Provisioned> provision(base::ByteView permanent_state, Past past,
                                    const ProvisionWishes& wishes = {});

}  // namespace vtpm::provision

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "keybroker/protocol/release_claims.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace keybroker::broker {

// The key with which a boot proves itself to the broker after its release. freshness.md of the
// design calls it K_b.
using BootKey = base::Secret<32>;

// ClusterSecrets are what all replicas of a broker share, so that none of them has to remember what
// another one said: challenges and boot keys are computed from them. Versions are from 1 and
// ascend. All verify; the newest that is not only accepted makes, so that a new one can reach every
// replica before any of them makes something that the others would call forged. Whoever has one can
// forge challenges and the anchors of VMs that were released under it, but opens no VM key with it.
class ClusterSecrets {
 public:
  struct Version {
    std::uint32_t number = 0;
    base::Secret<32> bytes;
    bool accepted_only = false;
  };

  // with() takes all versions that something may still rest upon: a challenge for its few minutes,
  // a boot key for as long as its VM runs. kInvalidArgument for none that makes, more than 16, a
  // number that is 0 or does not ascend, and a secret of zeros.
  static base::Result<ClusterSecrets> with(std::vector<Version> versions);

  // generate() is one new secret of version 1. The others are the steps of replacing one, each of
  // which reaches all replicas before the next: these and a new one above them, which is only
  // accepted; the newest makes from now on; these without one. kInvalidArgument if there is none to
  // promote or to drop.
  static base::Result<ClusterSecrets> generate();
  [[nodiscard]] base::Result<ClusterSecrets> adding_one() const;
  [[nodiscard]] base::Result<ClusterSecrets> promoting_newest() const;
  [[nodiscard]] base::Result<ClusterSecrets> dropping(std::uint32_t number) const;

  [[nodiscard]] const std::vector<Version>& versions() const { return versions_; }

  [[nodiscard]] const Version& newest() const { return versions_.back(); }

  // making() is the version that challenges and boot keys are made with.
  [[nodiscard]] const Version& making() const;

 private:
  explicit ClusterSecrets(std::vector<Version> versions) : versions_(std::move(versions)) {}

  [[nodiscard]] std::vector<Version> copies() const;

  std::vector<Version> versions_;
};

inline constexpr std::size_t kMostClusterSecrets = 16;

// challenge_key() is the key of one version under which challenges are authenticated.
base::Result<base::Secret<32>> challenge_key(const ClusterSecrets::Version& version);

// boot_key() is HKDF-SHA256 of a version's secret, without salt, its info "anchor", vm_id, the
// epoch in eight bytes big-endian, boot_id.
base::Result<BootKey> boot_key(const ClusterSecrets::Version& version, const protocol::Uuid& vm_id,
                               std::uint64_t epoch, const protocol::BootId& boot_id);

}  // namespace keybroker::broker

// SPDX-License-Identifier: Apache-2.0
#include "keybroker/broker/cluster_secret.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/crypto/hkdf.h"
#include "vmgs/crypto/random.h"

namespace keybroker::broker {

namespace {

auto invalid(const std::string& why) {
  return base::fail(base::ErrorCode::kInvalidArgument, "cluster secrets: " + why);
}

}  // namespace

base::Result<ClusterSecrets> ClusterSecrets::with(std::vector<Version> versions) {
  if (versions.empty() || versions.size() > kMostClusterSecrets) {
    return invalid(std::to_string(versions.size()) + " of them, expected 1 to " +
                   std::to_string(kMostClusterSecrets));
  }
  std::uint32_t before = 0;
  for (const auto& version : versions) {
    if (version.number <= before) {
      return invalid("version " + std::to_string(version.number) + " follows " +
                     std::to_string(before));
    }
    if (version.bytes.is_all_zero()) {
      return invalid("version " + std::to_string(version.number) + " is all zero");
    }
    before = version.number;
  }
  if (std::ranges::all_of(versions, &Version::accepted_only)) {
    return invalid("all are only accepted, and none makes anything");
  }
  return ClusterSecrets(std::move(versions));
}

base::Result<ClusterSecrets> ClusterSecrets::generate() {
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  std::vector<Version> versions;
  versions.push_back({1, std::move(secret)});
  return with(std::move(versions));
}

std::vector<ClusterSecrets::Version> ClusterSecrets::copies() const {
  std::vector<Version> versions;
  for (const auto& version : versions_) {
    versions.push_back(
        {version.number, base::Secret<32>::copy_of(version.bytes.expose()), version.accepted_only});
  }
  return versions;
}

const ClusterSecrets::Version& ClusterSecrets::making() const {
  // with() has seen to it that there is one.
  return *std::ranges::find(versions_.rbegin(), versions_.rend(), false, &Version::accepted_only);
}

base::Result<ClusterSecrets> ClusterSecrets::adding_one() const {
  auto versions = copies();
  TRY_ASSIGN(secret, vmgs::crypto::random_secret<32>());
  versions.push_back({newest().number + 1, std::move(secret), true});
  return with(std::move(versions));
}

base::Result<ClusterSecrets> ClusterSecrets::promoting_newest() const {
  if (!newest().accepted_only) {
    return invalid("the newest, version " + std::to_string(newest().number) +
                   ", is in use already; add one first");
  }
  auto versions = copies();
  versions.back().accepted_only = false;
  return with(std::move(versions));
}

base::Result<ClusterSecrets> ClusterSecrets::dropping(std::uint32_t number) const {
  auto versions = copies();
  if (std::erase_if(versions, [&](const auto& each) { return each.number == number; }) == 0) {
    return invalid("there is no version " + std::to_string(number));
  }
  return with(std::move(versions));
}

base::Result<base::Secret<32>> challenge_key(const ClusterSecrets::Version& version) {
  return vmgs::crypto::derive_hkdf_sha256<32>(version.bytes.expose(), {},
                                              base::bytes_of("challenge"));
}

base::Result<BootKey> boot_key(const ClusterSecrets::Version& version, const protocol::Uuid& vm_id,
                               std::uint64_t epoch, const protocol::BootId& boot_id) {
  base::Writer info;
  info.bytes(base::bytes_of("anchor"));
  info.bytes(vm_id);
  info.u64_be(epoch);
  info.bytes(boot_id);
  return vmgs::crypto::derive_hkdf_sha256<32>(version.bytes.expose(), {}, info.written());
}

}  // namespace keybroker::broker

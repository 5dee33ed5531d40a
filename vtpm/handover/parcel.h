// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "keybroker/protocol/succession.pb.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"

namespace vtpm::handover {

using Deadline = std::chrono::steady_clock::time_point;

// A parcel is what two instances send each other (succession.proto): a message, secrets that must
// not lie in a message, and descriptors.
struct Parcel {
  strongroom::instance::v1::Succession message;
  base::SecretBytes secrets;
  std::vector<base::Descriptor> descriptors;
};

inline constexpr std::size_t kMaxParcelMessageBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxParcelSecretBytes = std::size_t{8} << 20;
inline constexpr std::size_t kMaxParcelDescriptors = 128;

// send_parcel() sends one; the descriptors stay the caller's. kInvalidArgument for one that is too
// large; kUnavailable if the peer is gone or does not take it in time.
base::Result<void> send_parcel(int socket, const strongroom::instance::v1::Succession& message,
                               base::ByteView secrets, std::span<const int> descriptors,
                               Deadline deadline);

// receive_parcel() waits for one. Nothing if the peer is gone and has left none. kUnavailable if
// none has come in time, or the peer went away in the middle of it; kCorrupt for what is no parcel.
base::Result<std::optional<Parcel>> receive_parcel(int socket, Deadline deadline);

}  // namespace vtpm::handover

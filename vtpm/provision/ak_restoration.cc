// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/ak_restoration.h"

#include <array>

#include "vmgs/base/log.h"
#include "vtpm/protocol/header.h"
#include "vtpm/provision/esys.h"

namespace vtpm::provision {

namespace {

bool removes(protocol::CommandCode code) {
  return code == protocol::CommandCode::kEvictControl ||
         code == protocol::CommandCode::kChangeEps || code == protocol::CommandCode::kClear;
}

std::optional<AkPresence> restore(ESYS_CONTEXT* esys, const KeyPlace& place,
                                  const PublicKey& wanted) {
  const auto there = key_at(esys, place.handle);
  if (!there) {
    return std::nullopt;
  }
  const std::string what(place.what);
  if (*there && (*there)->name == wanted.name) {
    return AkPresence{};
  }
  if (*there) {
    return AkPresence{.obstacle = Obstacle::kAkSquatted,
                      .reason = "the guest has put another key in the place of the " + what};
  }
  const auto put = put_key_again(esys, place, wanted);
  if (put) {
    base::log(base::LogLevel::kInfo, "the guest removed the " + what + "; it was made again");
    return AkPresence{};
  }
  return AkPresence{.obstacle = Obstacle::kAkMissing,
                    .reason = "the guest removed the " + what +
                              ", and it could not be made again while the guest runs (" +
                              put.error().message + "); the next start does it"};
}

}  // namespace

bool may_remove_aks(base::ByteView command) {
  const auto header = protocol::decode_command_header(command);
  return header && removes(header->code);
}

bool may_make_room(base::ByteView command) {
  const auto header = protocol::decode_command_header(command);
  return header &&
         (removes(header->code) || header->code == protocol::CommandCode::kHierarchyChangeAuth ||
          header->code == protocol::CommandCode::kFlushContext);
}

std::optional<AkPresence> restore_aks(engine::Engine& engine,
                                      const std::optional<PublicKey>& rsa_ak,
                                      const std::optional<PublicKey>& ecc_ak) {
  Esys esys(engine);
  if (!esys.open()) {
    return std::nullopt;
  }
  const std::array wanted = {&rsa_ak, &ecc_ak};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!*wanted[i]) {
      continue;
    }
    auto presence = restore(esys.context(), attestation_places()[i], **wanted[i]);
    if (!presence || presence->obstacle != Obstacle::kNone) {
      return presence;
    }
  }
  return AkPresence{};
}

}  // namespace vtpm::provision

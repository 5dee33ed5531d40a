// SPDX-License-Identifier: Apache-2.0
#include "vtpm/protocol/power_command.h"

#include <utility>

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"

namespace vtpm::protocol {

namespace {

// None of these commands takes an authorization, so a header and the parameters are all.
base::Bytes command(CommandCode code, base::ByteView parameters) {
  base::Writer out;
  out.u16_be(static_cast<std::uint16_t>(Tag::kNoSessions));
  out.u32_be(static_cast<std::uint32_t>(kHeaderBytes + parameters.size()));
  out.u32_be(static_cast<std::uint32_t>(code));
  out.bytes(parameters);
  return std::move(out).take();
}

base::Bytes power_command(CommandCode code, StartupType type) {
  base::Writer parameters;
  parameters.u16_be(static_cast<std::uint16_t>(type));
  return command(code, parameters.written());
}

}  // namespace

base::Bytes startup(StartupType type) { return power_command(CommandCode::kStartup, type); }

base::Bytes shutdown(StartupType type) { return power_command(CommandCode::kShutdown, type); }

base::Bytes stir_random(std::span<const std::byte, 32> entropy) {
  base::Writer parameters;
  parameters.u16_be(static_cast<std::uint16_t>(entropy.size()));
  parameters.bytes(entropy);
  return command(CommandCode::kStirRandom, parameters.written());
}

}  // namespace vtpm::protocol

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/protocol/launch_document.h"
#include "vmgs/base/bytes.h"

namespace keybroker::protocol {

// What a guest and its broker compute alike; keybroker/TOKENS.md has the whole of their protocol.

// guest_commitment() is what evidence of a guest has to commit to, so that it answers this
// challenge and speaks for nobody else's runtime data: SHA-256 of "strongroom.guest/1", a zero
// byte, the challenge, which has one length, and the runtime data. It is the qualifying data of the
// quote, and with 32 bytes of zeros behind it the user data that the hardware report binds: the
// quote proves that this TPM is alive now, the report that it runs in this machine now.
Sha256Digest guest_commitment(base::ByteView challenge, base::ByteView runtime_data);

// workload_info() binds a workload key that is sealed to what it is: "strongroom.workload-key/1", a
// zero byte, the kid.
base::Bytes workload_info(std::string_view kid);

// The `typ` of a broker's answer with a workload key in it: no token has it.
inline constexpr std::string_view kKeyReleaseType = "strongroom.key-release+jws";

}  // namespace keybroker::protocol

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "keybroker/crypto/signature.h"
#include "keybroker/evidence/event_log.h"
#include "keybroker/evidence/signature_database.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::evidence {

// What PCR 7 will hold, as far as that can be known before the boot.
struct SecureBootForecast {
  base::Bytes pcr7;
  std::vector<std::string> notes{};  // what the forecast rests on, and what may spoil it
};

// forecast_secure_boot() is PCR 7 after firmware has measured `variables` in this order and then
// the separator, as EDK2 does before it looks at the first image (TCG PC Client Platform Firmware
// Profile, 3.3.4.8): SecureBoot, PK, KEK, db, dbx, each even if it is empty. Whatever is then
// started may add who vouched for it.
SecureBootForecast forecast_secure_boot(const std::vector<EfiVariable>& variables,
                                        crypto::Hash bank);

// With the log of an earlier boot it is the whole of PCR 7: each variable of `variables` that the
// log has is measured with its new content, and everything else again as it was. A note says where
// an entry of db that vouched for something is there no more. kCorrupt for a log without this bank.
base::Result<SecureBootForecast> forecast_secure_boot(const std::vector<EfiVariable>& variables,
                                                      crypto::Hash bank, const EventLog& log);

}  // namespace keybroker::evidence

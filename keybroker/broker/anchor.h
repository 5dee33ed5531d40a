// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "keybroker/authority/instance_requests.h"
#include "keybroker/broker/worker.h"

namespace keybroker::broker {

// Certifiers answer the certification that comes with an anchor, one for each root class of VMs,
// with the rules for that class and no other's. Null where this broker certifies none. Like the
// worker's records, they belong to one thread.
struct Certifiers {
  authority::InstanceRequests* production = nullptr;
  authority::InstanceRequests* simulated = nullptr;
};

inline constexpr std::size_t kMaxAnchorRequestBytes = 256 * 1024;

// answer_anchor() takes M2, M4, the renewal of certificates and a condemnation, and gives a
// SignedAnswer: Anchored, or Refused with anchor-mac, vm-unregistered, anchor-fenced, anchor-stale
// or request-id-used. The errors are those of release_key.h. The order:
//   sizes; the host's budget; the message's authenticity, by the boot key of what it names; the
//   record's compare-and-set of owner, epoch and sequence; the certification; receipt and
//   signature.
// A boot that was offline and tells that the state which it had opened is not the newest moves no
// anchor either: that is a refusal in the log, with stale-state or forked-state, all that was
// certified for the VM is revoked, and the answer is Anchored without a receipt.
//
// The same request again gets the answer that was kept, byte for byte. What certification refuses
// does not undo the anchor: Anchored says why there is no certificate.
//
// The first boot anchor under the new launch ends a conversion: the one before gets no key any
// more.
base::Result<base::Bytes> answer_anchor(Worker& worker, const Certifiers& certifiers,
                                        std::string_view caller, base::ByteView request,
                                        crypto::Time now);

}  // namespace keybroker::broker

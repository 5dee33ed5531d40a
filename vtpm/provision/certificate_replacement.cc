// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/certificate_replacement.h"

#include "vmgs/base/cursor.h"
#include "vtpm/protocol/header.h"
#include "vtpm/provision/esys.h"

namespace vtpm::provision {

namespace {

// Turned off again whatever happens: what the guest does next is to be stored.
class Holding {
 public:
  explicit Holding(DeferringStore& store) : store_(store) { store_.hold(true); }

  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

  ~Holding() { store_.hold(false); }

 private:
  DeferringStore& store_;
};

// TPM2_NV_Read (TPM 2.0 Part 3, 31.13): authHandle, nvIndex.
bool reads_certificates(base::ByteView command) {
  const auto header = protocol::decode_command_header(command);
  if (!header || header->code != protocol::CommandCode::kNvRead) {
    return false;
  }
  base::Reader in(command.subspan(protocol::kHeaderBytes));
  const auto authority = in.u32_be();
  const auto index = authority ? in.u32_be() : authority;
  return index && (*index == kAkCertificateIndex || *index == kAkChainIndex);
}

}  // namespace

base::Result<void> replace_certificates(engine::Engine& engine, DeferringStore& store,
                                        const IndexPassword& password,
                                        const Certificates& certificates) {
  Esys esys(engine);
  TRY(esys.open());
  {
    const Holding holding(store);
    TRY(write_index(esys.context(), kAkChainIndex, password, certificates.ak_chain));
    TRY(write_index(esys.context(), kAkCertificateIndex, password, certificates.ak));
  }
  TRY_ASSIGN(state, engine.state_blob(engine::BlobKind::kPermanent));
  return store.store(engine::BlobKind::kPermanent, state.expose());
}

void CertificateReaders::saw(base::ByteView command, Time now) {
  if (!reads_certificates(command)) {
    return;
  }
  if (!first_ || now - last_ >= kBetweenPieces) {
    first_ = now;
  }
  last_ = now;
}

bool CertificateReaders::are_reading(Time now) const {
  return first_ && now - last_ < kBetweenPieces && now - *first_ < kInAll;
}

}  // namespace vtpm::provision

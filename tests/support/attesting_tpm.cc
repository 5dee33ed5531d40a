// SPDX-License-Identifier: Apache-2.0
#include "tests/support/attesting_tpm.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/tpm_commands.h"
#include "vmgs/base/cursor.h"

namespace tests::support {

namespace {

namespace evidence = keybroker::evidence;
using evidence::QuoteEvidence;

constexpr std::uint16_t kSha256 = 0x000B;
constexpr std::uint16_t kNullAlgorithm = 0x0010;
constexpr std::uint32_t kAkAttributes = 0x00050472;
constexpr std::uint32_t kRestricted = 1U << 16;

constexpr std::uint32_t kGetTime = 0x14C;
constexpr std::uint32_t kQuote = 0x158;
constexpr std::uint32_t kSign = 0x15D;
constexpr std::uint32_t kCreatePrimary = 0x131;
constexpr std::uint32_t kPcrRead = 0x17E;
constexpr std::uint32_t kPcrExtend = 0x182;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "attesting_tpm: %s\n", why.c_str());
  std::abort();
}

template <typename T>
T expect(base::Result<T> result) {
  if (!result) {
    die(result.error().message);
  }
  return *std::move(result);
}

base::Bytes handle_bytes(std::uint32_t handle) {
  base::Writer out;
  out.u32_be(handle);
  return std::move(out).take();
}

void sized(base::Writer& out, base::ByteView bytes) {
  out.u16_be(static_cast<std::uint16_t>(bytes.size()));
  out.bytes(bytes);
}

base::Bytes rsa_template(std::uint32_t attributes) {
  base::Writer out;
  out.u16_be(0x0001);
  out.u16_be(kSha256);
  out.u32_be(attributes);
  out.u16_be(0);
  out.u16_be(kNullAlgorithm);
  out.u16_be(evidence::kTpmRsaSsa);
  out.u16_be(kSha256);
  out.u16_be(2048);
  out.u32_be(0);
  sized(out, base::Bytes(256));
  return std::move(out).take();
}

base::Bytes ecc_template() {
  base::Writer out;
  out.u16_be(0x0023);
  out.u16_be(kSha256);
  out.u32_be(kAkAttributes);
  out.u16_be(0);
  out.u16_be(kNullAlgorithm);
  out.u16_be(evidence::kTpmEcdsa);
  out.u16_be(kSha256);
  out.u16_be(0x0003);  // P-256
  out.u16_be(kNullAlgorithm);
  sized(out, base::Bytes(32));
  sized(out, base::Bytes(32));
  return std::move(out).take();
}

void selection(base::Writer& out, keybroker::crypto::Hash bank,
               const std::set<std::uint8_t>& pcrs) {
  std::array<std::uint8_t, 3> bitmap{};
  for (const auto pcr : pcrs) {
    bitmap.at(pcr / 8U) = static_cast<std::uint8_t>(bitmap.at(pcr / 8U) | 1U << (pcr % 8U));
  }
  out.u32_be(1);
  out.u16_be(evidence::tpm_of_hash(bank));
  out.u8(3);
  for (const auto byte : bitmap) {
    out.u8(byte);
  }
}

// TPM2B_ATTEST, then TPMT_SIGNATURE.
QuoteEvidence attestation_in(base::ByteView parameters) {
  base::Reader in(parameters);
  QuoteEvidence quote;
  const auto size = expect(in.u16_be());
  quote.attest = base::copy_of(expect(in.bytes(size)));
  quote.signature = base::copy_of(in.rest());
  return quote;
}

}  // namespace

AttestingTpm::AttestingTpm() : engine_(expect(vtpm::engine::Engine::create(store_))) {
  if (!engine_->start(vtpm::engine::Origin::kManufacture)) {
    die("the TPM does not start");
  }
  auto command = startup_clear();
  expect(engine_->process(vtpm::protocol::Locality(), command));
}

void AttestingTpm::reset() {
  engine_->terminate();
  rsa_ak_ = ecc_ak_ = unrestricted_ = {};
  if (!engine_->start(vtpm::engine::Origin::kExisting)) {
    die("the TPM does not start again");
  }
  auto command = startup_clear();
  expect(engine_->process(vtpm::protocol::Locality(), command));
}

// run() gives the parameters of the response, behind its handles and sizes.
base::Bytes AttestingTpm::run(std::uint32_t code, base::ByteView handles, bool authorized,
                              base::ByteView parameters) {
  constexpr std::uint32_t kPassword = 0x40000009;
  base::Writer body;
  body.bytes(handles);
  if (authorized) {
    const std::uint32_t sessions = code == kGetTime ? 2 : 1;
    body.u32_be(9 * sessions);
    for (std::uint32_t i = 0; i < sessions; ++i) {
      body.u32_be(kPassword);
      body.u16_be(0);
      body.u8(0);
      body.u16_be(0);
    }
  }
  body.bytes(parameters);
  base::Writer out;
  out.u16_be(authorized ? 0x8002 : 0x8001);
  out.u32_be(static_cast<std::uint32_t>(10 + body.size()));
  out.u32_be(code);
  out.bytes(body.written());
  auto command = std::move(out).take();
  const auto response = expect(engine_->process(vtpm::protocol::Locality(), command));
  if (response_code(response) != kSuccess) {
    die("command " + std::to_string(code) + " gives " + std::to_string(response_code(response)));
  }
  base::Reader in(response.subspan(10));
  base::Writer result;
  if (code == kCreatePrimary) {
    result.u32_be(expect(in.u32_be()));
  }
  if (authorized) {
    const auto size = expect(in.u32_be());
    result.bytes(expect(in.bytes(size)));
  } else {
    result.bytes(in.rest());
  }
  return std::move(result).take();
}

TpmKey AttestingTpm::create(base::ByteView public_area) {
  base::Writer parameters;
  parameters.u16_be(4);
  parameters.u32_be(0);  // empty password and data
  sized(parameters, public_area);
  parameters.u16_be(0);
  parameters.u32_be(0);
  const auto response = run(kCreatePrimary, handle_bytes(kEndorsement), true, parameters.written());
  base::Reader in(response);
  TpmKey key;
  key.handle = expect(in.u32_be());
  const auto size = expect(in.u16_be());
  key.public_area = base::copy_of(expect(in.bytes(size)));
  return key;
}

const TpmKey& AttestingTpm::rsa_ak() {
  if (rsa_ak_.handle == 0) {
    rsa_ak_ = create(rsa_template(kAkAttributes));
  }
  return rsa_ak_;
}

const TpmKey& AttestingTpm::ecc_ak() {
  if (ecc_ak_.handle == 0) {
    ecc_ak_ = create(ecc_template());
  }
  return ecc_ak_;
}

const TpmKey& AttestingTpm::unrestricted_key() {
  if (unrestricted_.handle == 0) {
    unrestricted_ = create(rsa_template(kAkAttributes & ~kRestricted));
  }
  return unrestricted_;
}

void AttestingTpm::measure(const evidence::EventLog& log) {
  for (const auto& event : log.events) {
    if (event.type == evidence::EventType::kNoAction) {
      continue;
    }
    base::Writer parameters;
    parameters.u32_be(static_cast<std::uint32_t>(event.digests.size()));
    for (const auto& digest : event.digests) {
      parameters.u16_be(digest.algorithm);
      parameters.bytes(digest.bytes);
    }
    run(kPcrExtend, handle_bytes(event.index), true, parameters.written());
  }
}

base::Bytes AttestingTpm::pcr(keybroker::crypto::Hash bank, std::uint8_t index) {
  base::Writer parameters;
  selection(parameters, bank, {index});
  const auto response = run(kPcrRead, {}, false, parameters.written());
  // Update counter, the selection, the count of digests and their size.
  constexpr std::size_t kInFront = 4 + 4 + 2 + 1 + 3 + 4 + 2;
  if (response.size() != kInFront + keybroker::crypto::hash_bytes(bank)) {
    die("the TPM has no such bank");
  }
  return base::copy_of(base::ByteView(response).subspan(kInFront));
}

QuoteEvidence AttestingTpm::quote(const TpmKey& key, base::ByteView nonce,
                                  keybroker::crypto::Hash bank,
                                  const std::set<std::uint8_t>& pcrs) {
  base::Writer parameters;
  sized(parameters, nonce);
  parameters.u16_be(kNullAlgorithm);
  selection(parameters, bank, pcrs);
  auto quote = attestation_in(run(kQuote, handle_bytes(key.handle), true, parameters.written()));
  for (const auto index : pcrs) {
    quote.pcrs[index] = pcr(bank, index);
  }
  return quote;
}

QuoteEvidence AttestingTpm::certify_time(const TpmKey& key, base::ByteView nonce) {
  base::Writer handles;
  handles.u32_be(kEndorsement);
  handles.u32_be(key.handle);
  base::Writer parameters;
  sized(parameters, nonce);
  parameters.u16_be(kNullAlgorithm);
  return attestation_in(run(kGetTime, handles.written(), true, parameters.written()));
}

base::Bytes AttestingTpm::sign(const TpmKey& key, base::ByteView message) {
  constexpr std::uint16_t kHashCheck = 0x8024;
  base::Writer parameters;
  sized(parameters, keybroker::crypto::digest(keybroker::crypto::Hash::kSha256, message));
  parameters.u16_be(kNullAlgorithm);
  parameters.u16_be(kHashCheck);
  parameters.u32_be(kNullHierarchy);
  parameters.u16_be(0);
  return run(kSign, handle_bytes(key.handle), true, parameters.written());
}

}  // namespace tests::support

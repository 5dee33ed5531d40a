// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/warm_up.h"

#include <malloc.h>

#include "vmgs/base/bytes.h"
#include "vmgs/base/cursor.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"
#include "vtpm/protocol/header.h"
#include "vtpm/protocol/power_command.h"

namespace vtpm::engine {

namespace {

// Algorithm identifiers (TCG Algorithm Registry) and attributes of the key below.
constexpr std::uint16_t kSha256 = 0x000B;
constexpr std::uint16_t kNull = 0x0010;
constexpr std::uint16_t kEcdsa = 0x0018;
constexpr std::uint16_t kEcc = 0x0023;
constexpr std::uint16_t kNistP256 = 0x0003;
constexpr std::uint32_t kSigningKey = 0x00040472;  // fixedTPM to userWithAuth, noDA, sign

base::Bytes command(protocol::Tag tag, protocol::CommandCode code, base::ByteView body) {
  base::Writer out;
  out.u16_be(static_cast<std::uint16_t>(tag));
  out.u32_be(static_cast<std::uint32_t>(protocol::kHeaderBytes + body.size()));
  out.u32_be(static_cast<std::uint32_t>(code));
  out.bytes(body);
  return std::move(out).take();
}

// TPM2_CreatePrimary (TPM 2.0 Part 3, 24.1) of a P-256 signing key in the null hierarchy.
base::Bytes create_primary_ecc() {
  base::Writer key;
  key.u16_be(kEcc);
  key.u16_be(kSha256);
  key.u32_be(kSigningKey);
  key.u16_be(0);  // no policy
  key.u16_be(kNull);
  key.u16_be(kEcdsa);
  key.u16_be(kSha256);
  key.u16_be(kNistP256);
  key.u16_be(kNull);
  key.u16_be(0);  // no unique x
  key.u16_be(0);  // nor y

  base::Writer body;
  body.u32_be(static_cast<std::uint32_t>(protocol::Handle::kNullHierarchy));
  body.u32_be(9);  // bytes of the authorization that follows
  body.u32_be(static_cast<std::uint32_t>(protocol::Handle::kPasswordSession));
  body.u16_be(0);
  body.u8(0);
  body.u16_be(0);
  body.u16_be(4);  // sensitive: empty auth value, no data
  body.u16_be(0);
  body.u16_be(0);
  body.u16_be(static_cast<std::uint16_t>(key.size()));
  body.bytes(key.written());
  body.u16_be(0);  // no outside info
  body.u32_be(0);  // no PCR selection
  return command(protocol::Tag::kSessions, protocol::CommandCode::kCreatePrimary, body.written());
}

// TPM2_Hash (TPM 2.0 Part 3, 15.4) of one byte.
base::Bytes hash() {
  base::Writer body;
  body.u16_be(1);
  body.u8(0);
  body.u16_be(kSha256);
  body.u32_be(static_cast<std::uint32_t>(protocol::Handle::kNullHierarchy));
  return command(protocol::Tag::kNoSessions, protocol::CommandCode::kHash, body.written());
}

base::Result<void> expect_success(Engine& engine, base::Bytes command) {
  TRY_ASSIGN(response, engine.process(protocol::Locality(), command));
  TRY_ASSIGN(header, protocol::decode_response_header(response));
  if (header.code != protocol::ResponseCode::kSuccess) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "the warm-up TPM answered " + protocol::describe(header.code));
  }
  return {};
}

}  // namespace

base::Result<void> warm_up() {
  {
    MemoryNvStore store;
    TRY_ASSIGN(engine, Engine::create(store));
    TRY(engine->start(Origin::kManufacture));
    TRY(expect_success(*engine, protocol::startup(protocol::StartupType::kClear)));
    TRY(expect_success(*engine, create_primary_ecc()));
    TRY(expect_success(*engine, hash()));
    engine->terminate();
    // Pages that are there would be copied into every child that writes to them.
    engine->give_back_memory();
  }
  malloc_trim(0);
  return {};
}

}  // namespace vtpm::engine

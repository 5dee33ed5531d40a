// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tpm_commands.h"

#include <cstdio>
#include <cstdlib>

#include "vmgs/base/cursor.h"

namespace tests::support {

namespace {

constexpr std::uint16_t kNoSessions = 0x8001;
constexpr std::uint16_t kSessions = 0x8002;
constexpr std::uint32_t kPassword = 0x40000009;
constexpr std::uint16_t kSha256 = 0x000B;
constexpr std::uint16_t kNullAlgorithm = 0x0010;

base::Bytes command(std::uint16_t tag, std::uint32_t code, const base::Writer& body) {
  base::Writer out;
  out.u16_be(tag);
  out.u32_be(static_cast<std::uint32_t>(10 + body.size()));
  out.u32_be(code);
  out.bytes(body.written());
  return std::move(out).take();
}

base::Bytes command_with_u16(std::uint32_t code, std::uint16_t value) {
  base::Writer body;
  body.u16_be(value);
  return command(kNoSessions, code, body);
}

void password(base::Writer& body, std::string_view text) {
  body.u32_be(static_cast<std::uint32_t>(9 + text.size()));
  body.u32_be(kPassword);
  body.u16_be(0);
  body.u8(0);
  body.u16_be(static_cast<std::uint16_t>(text.size()));
  body.bytes(base::bytes_of(text));
}

void empty_password(base::Writer& body) { password(body, ""); }

base::Bytes nv_define_with(std::uint32_t index, std::uint16_t size, std::uint32_t attributes) {
  base::Writer body;
  body.u32_be(kOwner);
  empty_password(body);
  body.u16_be(0);   // auth value
  body.u16_be(14);  // TPMS_NV_PUBLIC
  body.u32_be(index);
  body.u16_be(kSha256);
  body.u32_be(attributes);
  body.u16_be(0);  // policy
  body.u16_be(size);
  return command(kSessions, 0x12A, body);
}

// ownerWrite, authWrite, ownerRead, authRead, noDA
constexpr std::uint32_t kReadWrite = 0x02060006;
constexpr std::uint32_t kNoDa = 0x02000000;

base::Bytes create_primary(std::uint32_t hierarchy, const base::Writer& key) {
  base::Writer body;
  body.u32_be(hierarchy);
  empty_password(body);
  body.u16_be(4);
  body.u16_be(0);
  body.u16_be(0);
  body.u16_be(static_cast<std::uint16_t>(key.size()));
  body.bytes(key.written());
  body.u16_be(0);
  body.u32_be(0);
  return command(kSessions, 0x131, body);
}

[[noreturn]] void die(const char* why) {
  std::fprintf(stderr, "tpm_commands: %s\n", why);
  std::abort();
}

// The sized buffer that lies at `offset` of a response.
base::Bytes sized_at(base::ByteView response, std::size_t offset) {
  if (response.size() < offset + 2) {
    die(("the response is too short for its data: " + base::to_hex(response)).c_str());
  }
  base::Reader reader(response.subspan(offset));
  const auto size = reader.u16_be();
  const auto data = reader.bytes(*size);
  if (!data) {
    die("the response ends inside its data");
  }
  return base::copy_of(*data);
}

}  // namespace

base::Bytes startup_clear() { return command_with_u16(0x144, 0); }

base::Bytes startup_state() { return command_with_u16(0x144, 1); }

base::Bytes shutdown_clear() { return command_with_u16(0x145, 0); }

base::Bytes shutdown_state() { return command_with_u16(0x145, 1); }

base::Bytes get_random(std::uint16_t bytes) { return command_with_u16(0x17B, bytes); }

base::Bytes read_clock() { return command(kNoSessions, 0x181, base::Writer()); }

base::Bytes pcr_read(unsigned pcr) {
  base::Writer body;
  body.u32_be(1);
  body.u16_be(kSha256);
  body.u8(3);
  for (unsigned octet = 0; octet < 3; ++octet) {
    body.u8(pcr / 8 == octet ? static_cast<std::uint8_t>(1U << (pcr % 8)) : std::uint8_t{0});
  }
  return command(kNoSessions, 0x17E, body);
}

base::Bytes pcr_extend(unsigned pcr, const std::array<std::byte, 32>& digest) {
  base::Writer body;
  body.u32_be(pcr);
  empty_password(body);
  body.u32_be(1);
  body.u16_be(kSha256);
  body.bytes(digest);
  return command(kSessions, 0x182, body);
}

base::Bytes nv_define(std::uint32_t index, std::uint16_t size) {
  return nv_define_with(index, size, kReadWrite);
}

base::Bytes nv_define_orderly(std::uint32_t index, std::uint16_t size) {
  return nv_define_with(index, size, kReadWrite | 0x04000000);
}

base::Bytes nv_define_counter(std::uint32_t index) {
  return nv_define_with(index, 8, kReadWrite | 0x00000010);
}

base::Bytes nv_define_guarded(std::uint32_t index, std::uint16_t size) {
  return nv_define_with(index, size, kReadWrite & ~kNoDa);
}

base::Bytes nv_write(std::uint32_t index, base::ByteView data) {
  base::Writer body;
  body.u32_be(index);
  body.u32_be(index);
  empty_password(body);
  body.u16_be(static_cast<std::uint16_t>(data.size()));
  body.bytes(data);
  body.u16_be(0);
  return command(kSessions, 0x137, body);
}

base::Bytes nv_read(std::uint32_t index, std::uint16_t size, std::string_view authorization) {
  base::Writer body;
  body.u32_be(index);
  body.u32_be(index);
  password(body, authorization);
  body.u16_be(size);
  body.u16_be(0);
  return command(kSessions, 0x14E, body);
}

base::Bytes nv_read_by_owner(std::uint32_t index, std::uint16_t size, std::uint16_t offset) {
  base::Writer body;
  body.u32_be(kOwner);
  body.u32_be(index);
  empty_password(body);
  body.u16_be(size);
  body.u16_be(offset);
  return command(kSessions, 0x14E, body);
}

base::Bytes set_owner_auth(base::ByteView auth) { return set_auth(kOwner, auth); }

base::Bytes set_auth(std::uint32_t hierarchy, base::ByteView auth) {
  base::Writer body;
  body.u32_be(hierarchy);
  empty_password(body);
  body.u16_be(static_cast<std::uint16_t>(auth.size()));
  body.bytes(auth);
  return command(kSessions, 0x129, body);
}

base::Bytes clear() {
  base::Writer body;
  body.u32_be(kLockoutHierarchy);
  empty_password(body);
  return command(kSessions, 0x126, body);
}

base::Bytes evict(std::uint32_t handle) {
  base::Writer body;
  body.u32_be(kOwner);
  body.u32_be(handle);
  empty_password(body);
  body.u32_be(handle);
  return command(kSessions, 0x120, body);
}

base::Bytes change_eps() {
  base::Writer body;
  body.u32_be(kPlatform);
  empty_password(body);
  return command(kSessions, 0x124, body);
}

base::Bytes nv_increment(std::uint32_t index) {
  base::Writer body;
  body.u32_be(index);
  body.u32_be(index);
  empty_password(body);
  return command(kSessions, 0x134, body);
}

base::Bytes create_primary_rsa(std::uint16_t bits, std::uint32_t unique) {
  base::Writer key;
  key.u16_be(0x0001);  // RSA
  key.u16_be(kSha256);
  key.u32_be(0x00040472);  // a signing key, noDA
  key.u16_be(0);
  key.u16_be(kNullAlgorithm);
  key.u16_be(0x0014);  // RSASSA
  key.u16_be(kSha256);
  key.u16_be(bits);
  key.u32_be(0);
  key.u16_be(4);
  key.u32_be(unique);
  return create_primary(kNullHierarchy, key);
}

base::Bytes create_primary_ecc(std::uint32_t hierarchy) {
  base::Writer key;
  key.u16_be(0x0023);  // ECC
  key.u16_be(kSha256);
  key.u32_be(0x00040472);
  key.u16_be(0);
  key.u16_be(kNullAlgorithm);
  key.u16_be(0x0018);  // ECDSA
  key.u16_be(kSha256);
  key.u16_be(0x0003);  // P-256
  key.u16_be(kNullAlgorithm);
  key.u16_be(0);
  key.u16_be(0);
  return create_primary(hierarchy, key);
}

base::Bytes flush_context(std::uint32_t handle) {
  base::Writer body;
  body.u32_be(handle);
  return command(kNoSessions, 0x165, body);
}

base::Bytes lockout_counter() {
  base::Writer body;
  body.u32_be(6);           // TPM properties
  body.u32_be(0x0000020E);  // TPM_PT_LOCKOUT_COUNTER
  body.u32_be(1);
  return command(kNoSessions, 0x17A, body);
}

base::Bytes clear_lockout() {
  base::Writer body;
  body.u32_be(0x4000000A);  // TPM_RH_LOCKOUT
  empty_password(body);
  return command(kSessions, 0x139, body);
}

base::Bytes start_auth_session() {
  base::Writer body;
  body.u32_be(kNullHierarchy);  // tpmKey
  body.u32_be(kNullHierarchy);  // bind
  body.u16_be(16);              // nonceCaller
  body.bytes(base::Bytes(16, std::byte{0x11}));
  body.u16_be(0);  // no salt
  body.u8(0);      // an HMAC session
  body.u16_be(kNullAlgorithm);
  body.u16_be(kSha256);
  return command(kNoSessions, 0x176, body);
}

std::uint32_t response_code(base::ByteView response) {
  if (response.size() < 10) {
    die("that is no response");
  }
  return *base::Reader(response.subspan(6)).u32_be();
}

base::Bytes nv_data(base::ByteView response) { return sized_at(response, 14); }

base::Bytes session_nonce(base::ByteView response) { return sized_at(response, 14); }

base::Bytes random_data(base::ByteView response) { return sized_at(response, 10); }

base::Bytes pcr_value(base::ByteView response) {
  // Update counter, selection of one bank, count of digests.
  return sized_at(response, 10 + 4 + 10 + 4);
}

}  // namespace tests::support

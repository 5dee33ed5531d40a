// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "vmgs/base/bytes.h"

namespace tests::support {

inline constexpr std::uint32_t kOwner = 0x40000001;
inline constexpr std::uint32_t kNullHierarchy = 0x40000007;
inline constexpr std::uint32_t kLockoutHierarchy = 0x4000000A;
inline constexpr std::uint32_t kEndorsement = 0x4000000B;
inline constexpr std::uint32_t kPlatform = 0x4000000C;

// Whole TPM commands as a guest would send them (TPM 2.0 Part 3), each with an empty password where
// it needs an authorization. They are written out here, and not made by the code under test.

base::Bytes startup_clear();
base::Bytes startup_state();
base::Bytes shutdown_state();
base::Bytes shutdown_clear();
base::Bytes get_random(std::uint16_t bytes);
base::Bytes read_clock();

base::Bytes pcr_read(unsigned pcr);
base::Bytes pcr_extend(unsigned pcr, const std::array<std::byte, 32>& digest);

// nv_define() makes an ordinary index that owner and index password may read and write.
base::Bytes nv_define(std::uint32_t index, std::uint16_t size);
// The same, but its content stays in RAM until a Shutdown (TPMA_NV_ORDERLY).
base::Bytes nv_define_orderly(std::uint32_t index, std::uint16_t size);
base::Bytes nv_define_counter(std::uint32_t index);
// An ordinary index whose wrong passwords count towards lockout.
base::Bytes nv_define_guarded(std::uint32_t index, std::uint16_t size);
base::Bytes nv_write(std::uint32_t index, base::ByteView data);
base::Bytes nv_read(std::uint32_t index, std::uint16_t size, std::string_view authorization = "");
// By the owner's empty authorization, and a piece of it.
base::Bytes nv_read_by_owner(std::uint32_t index, std::uint16_t size, std::uint16_t offset);
base::Bytes nv_increment(std::uint32_t index);

// set_owner_auth() gives the owner an authorization that has none (HierarchyChangeAuth).
base::Bytes set_owner_auth(base::ByteView auth);
base::Bytes set_auth(std::uint32_t hierarchy, base::ByteView auth);

// clear() is TPM2_Clear by the lockout authorization, evict() takes a persistent object from its
// handle by the owner's, change_eps() draws another endorsement seed by the platform's.
base::Bytes clear();
base::Bytes evict(std::uint32_t handle);
base::Bytes change_eps();

// create_primary_rsa() makes a signing key in the null hierarchy; another `unique` gives other
// primes, so that searching for them takes a while each time.
base::Bytes create_primary_rsa(std::uint16_t bits, std::uint32_t unique);
// create_primary_ecc() makes a P-256 signing key; in the owner hierarchy it is the same key as long
// as the TPM is the same.
base::Bytes create_primary_ecc(std::uint32_t hierarchy = kNullHierarchy);
base::Bytes flush_context(std::uint32_t handle);

// lockout_counter() asks for TPM_PT_LOCKOUT_COUNTER.
base::Bytes lockout_counter();
// clear_lockout() is DictionaryAttackLockReset with the empty lockout authorization of a new TPM.
base::Bytes clear_lockout();

// start_auth_session() makes an unbound, unsalted HMAC session with SHA-256, whose nonceCaller is
// always the same.
base::Bytes start_auth_session();

// response_code() reads bytes 6 to 9 of a response. It ends the test if there are none.
std::uint32_t response_code(base::ByteView response);

// Names for the codes that tests expect.
inline constexpr std::uint32_t kSuccess = 0x000;
inline constexpr std::uint32_t kInitialize = 0x100;
inline constexpr std::uint32_t kFailure = 0x101;
inline constexpr std::uint32_t kCommandSize = 0x142;
inline constexpr std::uint32_t kLocality = 0x907;
inline constexpr std::uint32_t kCanceled = 0x909;
inline constexpr std::uint32_t kLockout = 0x921;
inline constexpr std::uint32_t kRetry = 0x922;

// Where NV_Read's data begins in its response, and how much of it there is.
base::Bytes nv_data(base::ByteView response);
// The nonceTPM that StartAuthSession gave.
base::Bytes session_nonce(base::ByteView response);
// The bytes that GetRandom gave.
base::Bytes random_data(base::ByteView response);
// The SHA-256 value that PCR_Read gave.
base::Bytes pcr_value(base::ByteView response);

}  // namespace tests::support

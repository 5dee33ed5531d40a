// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace vmgs::uefi {

// A GUID as UEFI keeps it in memory.
using Guid = std::array<std::byte, 16>;

// to_string() is "8be4df61-93ca-11d2-aa0d-00e098032b8c".
std::string to_string(const Guid& guid);

// known_name() is what people call a vendor GUID, such as "EFI_GLOBAL_VARIABLE"; empty for one that
// nobody here knows.
std::string_view known_name(const Guid& guid);

// Vendors of the variables that we look into: boot options, PK and KEK; db and dbx; the switch of
// EDK2's Secure Boot.
extern const Guid kGlobalVariable;
extern const Guid kImageSecurityDatabase;
extern const Guid kSecureBootEnableDisable;

// Attributes of a variable (UEFI 8.2).
inline constexpr std::uint32_t kNonVolatile = 0x01;
inline constexpr std::uint32_t kBootServiceAccess = 0x02;
inline constexpr std::uint32_t kRuntimeAccess = 0x04;
inline constexpr std::uint32_t kTimeBasedAuthenticatedWrite = 0x20;
inline constexpr std::uint32_t kAppendWrite = 0x40;

// attribute_names() are the words of the standard without their prefix, such as "NON_VOLATILE";
// bits that it does not know are one hexadecimal number.
std::vector<std::string> attribute_names(std::uint32_t attributes);

// Timestamp is the EFI_TIME of an authenticated variable, to the second; all zero where there is
// none.
struct Timestamp {
  std::uint16_t year = 0;
  std::uint8_t month = 0;
  std::uint8_t day = 0;
  std::uint8_t hour = 0;
  std::uint8_t minute = 0;
  std::uint8_t second = 0;

  friend auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// What has become of a variable in a flash. Firmware never changes one in place: it adds the new
// one, and then marks the old one.
enum class State : std::uint8_t {
  kCurrent,
  kBeingReplaced,  // still current, unless its successor is there
  kDeleted,
  kIncomplete,  // power failed while it was written
};

std::string_view name(State state);

struct Variable {
  Guid vendor{};
  std::u16string name;
  std::uint32_t attributes = 0;
  Timestamp timestamp;
  base::Bytes data;
  State state = State::kCurrent;
};

// text_of() is UCS-2 as UTF-8; what is no character is U+FFFD.
std::string text_of(std::u16string_view text);

// decode_name() reads a name of `bytes` in UCS-2, up to its first zero. kCorrupt for an odd size or
// without a zero at the end.
base::Result<std::u16string> decode_name(base::ByteView bytes);

// encode_name() is its inverse, with the zero at the end.
base::Bytes encode_name(std::u16string_view name);

// parse_name() reads a name from UTF-8. kInvalidArgument for what is no UTF-8, empty, or has
// characters that UCS-2 lacks.
base::Result<std::u16string> parse_name(std::string_view text);

// parse_guid() reads a GUID as to_string() writes it, in either case, or a name of known_name().
// kInvalidArgument otherwise.
base::Result<Guid> parse_guid(std::string_view text);

// current() are the variables that firmware finds: without what is deleted, incomplete, or has a
// successor. Of two of one name the later is taken. The pointers are into `variables`.
std::vector<const Variable*> current(const std::vector<Variable>& variables);

}  // namespace vmgs::uefi

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/tpm_nv_memory.h"

#include <algorithm>
#include <array>
#include <string>

#include "vmgs/base/cursor.h"

namespace vmgs::format {

namespace {

// What libtpms calls its parts.
constexpr std::uint32_t kUserNvram = 0x094F22C3;
constexpr std::uint32_t kNvIndex = 0x2547265A;
constexpr std::uint32_t kAnyObject = 0xFE9A3974;
constexpr std::uint32_t kObject = 0x75BE73AF;
constexpr std::uint32_t kPersistentAll = 0xAB364723;

constexpr std::array kUserNvramBytes = {std::byte{0x09}, std::byte{0x4F}, std::byte{0x22},
                                        std::byte{0xC3}};
constexpr std::size_t kVersionBytes = 2;

// TPM_ALG_ID (TCG Algorithm Registry).
constexpr std::uint16_t kRsa = 0x0001;
constexpr std::uint16_t kKeyedHash = 0x0008;
constexpr std::uint16_t kXor = 0x000A;
constexpr std::uint16_t kNull = 0x0010;
constexpr std::uint16_t kRsaes = 0x0015;
constexpr std::uint16_t kEcdaa = 0x001A;
constexpr std::uint16_t kEcc = 0x0023;
constexpr std::uint16_t kSymCipher = 0x0025;

constexpr std::uint32_t kHandleTypeShift = 24;  // TPM_HT (Part 2, 7.2)
constexpr std::uint32_t kNvIndexType = 0x01;
constexpr std::uint32_t kPersistentType = 0x81;

constexpr std::uint32_t kOccupied = 1U << 15;  // of libtpms' OBJECT_ATTRIBUTES
constexpr std::size_t kMostEntries = 4096;

auto corrupt(const std::string& why) {
  return base::fail(base::ErrorCode::kCorrupt, "the TPM's NV memory: " + why);
}

base::Result<std::uint16_t> header(base::Reader& in, std::uint32_t magic) {
  TRY_ASSIGN(version, in.u16_be());
  TRY_ASSIGN(found, in.u32_be());
  if (found != magic || version < 2) {
    return corrupt("a part is not what it should be");
  }
  TRY(in.u16_be());  // the oldest reader that understands it
  return version;
}

base::Result<base::ByteView> sized(base::Reader& in) {
  TRY_ASSIGN(size, in.u16_be());
  return in.bytes(size);
}

// What a later version may have appended, or an option of the build: a flag and a size.
base::Result<void> skip_block(base::Reader& in) {
  TRY(in.u8());
  TRY(sized(in));
  return {};
}

// TPMT_SYM_DEF_OBJECT (Part 2, 11.1.7)
base::Result<void> skip_symmetric(base::Reader& in) {
  TRY_ASSIGN(algorithm, in.u16_be());
  if (algorithm != kNull) {
    TRY(in.u16_be());  // bits
    TRY(in.u16_be());  // mode
  }
  return {};
}

// TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_KDF_SCHEME and TPMT_KEYEDHASH_SCHEME (Part 2, 11.2)
base::Result<void> skip_scheme(base::Reader& in) {
  TRY_ASSIGN(scheme, in.u16_be());
  if (scheme == kNull || scheme == kRsaes) {
    return {};
  }
  TRY(in.u16_be());  // hash
  if (scheme == kEcdaa || scheme == kXor) {
    TRY(in.u16_be());  // count, or KDF
  }
  return {};
}

// TPMU_PUBLIC_PARMS and TPMU_PUBLIC_ID (Part 2, 12.2.3)
base::Result<void> skip_parameters_and_unique(base::Reader& in, std::uint16_t type) {
  switch (type) {
    case kRsa:
      TRY(skip_symmetric(in));
      TRY(skip_scheme(in));
      TRY(in.u16_be());  // bits
      TRY(in.u32_be());  // exponent
      break;
    case kEcc:
      TRY(skip_symmetric(in));
      TRY(skip_scheme(in));
      TRY(in.u16_be());  // curve
      TRY(skip_scheme(in));
      TRY(sized(in));  // x, and y below
      break;
    case kKeyedHash:
      TRY(skip_scheme(in));
      break;
    case kSymCipher:
      TRY(skip_symmetric(in));
      break;
    default:
      return corrupt("an object has an unknown type");
  }
  TRY(sized(in));
  return {};
}

// TPMT_PUBLIC (Part 2, 12.2.4)
base::Result<void> skip_public(base::Reader& in) {
  TRY_ASSIGN(type, in.u16_be());
  TRY(in.u16_be());  // name algorithm
  TRY(in.u32_be());  // attributes
  TRY(sized(in));    // policy
  return skip_parameters_and_unique(in, type);
}

// TPMT_SENSITIVE (Part 2, 12.3.2.4)
base::Result<void> skip_sensitive(base::Reader& in) {
  TRY_ASSIGN(type, in.u16_be());
  TRY(sized(in));  // authorization
  TRY(sized(in));  // seed
  TRY_ASSIGN(size, in.u16_be());
  // libtpms says by the highest bit that all five numbers of an RSA key are there.
  constexpr std::uint16_t kAllNumbers = 0x8000;
  TRY(in.bytes(type == kRsa ? size & ~kAllNumbers : size));
  return {};
}

base::Result<void> skip_object(base::Reader& in) {
  TRY(header(in, kAnyObject));
  TRY_ASSIGN(attributes, in.u32_be());
  if ((attributes & kOccupied) != 0) {
    TRY(header(in, kObject));
    TRY(skip_public(in));
    TRY(skip_sensitive(in));
    TRY(skip_block(in));  // the private exponent
    TRY(sized(in));       // qualified name
    TRY(in.u32_be());     // handle
    TRY(sized(in));       // name
    TRY(skip_block(in));
  }
  return skip_block(in);
}

base::Result<TpmNvIndex> index(base::Reader& in, std::uint32_t handle) {
  TpmNvIndex index;
  TRY(header(in, kNvIndex));
  TRY_ASSIGN(number, in.u32_be());  // TPMS_NV_PUBLIC (Part 2, 13.5)
  TRY(in.u16_be());                 // name algorithm
  TRY_ASSIGN(attributes, in.u32_be());
  TRY(sized(in));  // policy
  TRY_ASSIGN(content_bytes, in.u16_be());
  TRY(sized(in));  // authorization
  TRY(skip_block(in));
  TRY_ASSIGN(stored_bytes, in.u32_be());
  TRY_ASSIGN(content, in.bytes(stored_bytes));
  index.index = number;
  index.attributes = attributes;
  index.content = content;
  // What is kept in RAM has no room here.
  const bool fits =
      content_bytes == stored_bytes || ((attributes & kTpmNvOrderly) != 0 && stored_bytes == 0);
  if (number != handle || !fits) {
    return corrupt("an index contradicts itself");
  }
  return index;
}

base::Result<std::vector<TpmNvIndex>> read(base::ByteView part) {
  base::Reader in(part);
  std::vector<TpmNvIndex> indices;
  TRY(header(in, kUserNvram));
  TRY(in.u64_be());  // how much the writer had room for
  for (std::size_t entries = 0;; ++entries) {
    TRY_ASSIGN(entry_bytes, in.u32_be());  // as it lies in libtpms' memory; 0 is the end
    if (entry_bytes == 0) {
      break;
    }
    if (entries == kMostEntries) {
      return corrupt("it has too many entries");
    }
    TRY_ASSIGN(handle, in.u32_be());
    switch (handle >> kHandleTypeShift) {
      case kNvIndexType: {
        TRY_ASSIGN(found, index(in, handle));
        indices.push_back(found);
        break;
      }
      case kPersistentType:
        TRY(skip_object(in));
        break;
      default:
        return corrupt("an entry has an unknown handle");
    }
  }
  TRY(in.u64_be());  // the largest counter
  TRY(skip_block(in));
  TRY(skip_block(in));  // of the whole state
  TRY_ASSIGN(end, in.u32_be());
  TRY(in.expect_end());
  if (end != kPersistentAll) {
    return corrupt("the state does not end as it should");
  }
  return indices;
}

}  // namespace

base::Result<std::vector<TpmNvIndex>> decode_tpm_nv_indices(base::ByteView permanent_state) {
  auto from = permanent_state.begin();
  for (;;) {
    const auto found =
        std::search(from, permanent_state.end(), kUserNvramBytes.begin(), kUserNvramBytes.end());
    if (found == permanent_state.end()) {
      return corrupt("there is none in this state");
    }
    const auto offset = static_cast<std::size_t>(found - permanent_state.begin());
    if (offset >= kVersionBytes) {
      auto indices = read(permanent_state.subspan(offset - kVersionBytes));
      if (indices) {
        return indices;
      }
    }
    from = found + 1;
  }
}

}  // namespace vmgs::format

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "vmgs/base/bytes.h"
#include "vmgs/base/cursor.h"
#include "vmgs/uefi/variable.h"

// What the tests of this room read and change.
namespace vmgs::uefi {

inline constexpr std::size_t kVolumeHeader = 72;
inline constexpr std::size_t kStoreHeader = 28;
inline constexpr std::size_t kFirst = kVolumeHeader + kStoreHeader;
inline constexpr std::size_t kImageBytes = 131072;
inline constexpr std::size_t kStoreBytes = 0xe000 - kVolumeHeader;

inline constexpr std::uint8_t kWritten = 0x3f;

// The image of OVMF's 2 MB build, with its headers as it writes them; the variables follow.
class ImageWriter {
 public:
  explicit ImageWriter(bool is_authenticated = true) : is_authenticated_(is_authenticated) {
    writer_.bytes(base::Bytes(16));
    hex("8d2bf1ff96768b4ca9852747075b4f50");
    writer_.u64_le(0x84000 > kImageBytes ? kImageBytes : 0x84000);
    hex("5f465648");
    writer_.u32_le(0xfeff);
    writer_.u16_le(kVolumeHeader);
    writer_.u16_le(0);  // the checksum
    hex("00000002");
    hex("20000000"
        "00100000"
        "00000000"
        "00000000");
    hex(is_authenticated ? "782cf3aa7b949a43a1802e144ec37792"
                         : "1636cfdd75326441 98b6fe85707ffe7d");
    writer_.u32_le(kStoreBytes);
    hex("5afe"
        "0000"
        "00000000");
  }

  ImageWriter& add(const std::string& name, base::ByteView data, std::uint8_t state = kWritten) {
    while ((writer_.size() - kFirst) % 4 != 0) {
      writer_.u8(0xff);
    }
    writer_.u16_le(0x55aa);
    writer_.u8(state);
    writer_.u8(0);
    writer_.u32_le(7);
    if (is_authenticated_) {
      writer_.u64_le(0);
      hex("ea07"
          "0b"
          "16"
          "0a"
          "1e"
          "3b"
          "00"
          "00000000"
          "0000"
          "00"
          "00");
      writer_.u32_le(0);
    }
    writer_.u32_le(static_cast<std::uint32_t>(2 * name.size() + 2));
    writer_.u32_le(static_cast<std::uint32_t>(data.size()));
    writer_.bytes(kGlobalVariable);
    for (const char each : name + '\0') {
      writer_.u16_le(static_cast<std::uint16_t>(each));
    }
    writer_.bytes(data);
    return *this;
  }

  [[nodiscard]] base::Bytes image() const {
    auto image = writer_.written();
    image.resize(kImageBytes, std::byte{0xff});
    return with_right_sum(std::move(image));
  }

  static base::Bytes with_right_sum(base::Bytes image) {
    std::uint32_t sum = 0;
    image[50] = image[51] = std::byte{0};
    for (std::size_t i = 0; i < kVolumeHeader; i += 2) {
      sum += std::to_integer<std::uint32_t>(image[i]) | std::to_integer<std::uint32_t>(image[i + 1])
                                                            << 8;
    }
    const auto checksum = static_cast<std::uint16_t>(0x10000 - (sum & 0xffff));
    image[50] = static_cast<std::byte>(checksum & 0xff);
    image[51] = static_cast<std::byte>(checksum >> 8);
    return image;
  }

 private:
  void hex(std::string digits) {
    digits.erase(std::remove(digits.begin(), digits.end(), ' '), digits.end());
    writer_.bytes(*base::from_hex(digits));
  }

  const bool is_authenticated_;
  base::Writer writer_;
};

}  // namespace vmgs::uefi

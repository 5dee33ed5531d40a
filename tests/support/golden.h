// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/format/blocks.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/block_device.h"

namespace tests::support {

// The golden images of tests/data/vmgs and what their manifest says of them. All of this ends the
// process if the data is not there or not whole.

enum class GoldenOutcome { kOpens, kBlank, kVersion1, kCorrupt };

struct GoldenFile {
  vmgs::format::FileId id{};
  std::uint64_t size_bytes = 0;
  std::uint32_t first_block = 0;
  std::uint32_t allocated_blocks = 0;
  bool encrypted = false;  // as the authenticated table says
  bool readable = false;   // with the key; otherwise its tag must fail
  std::string sha256;      // of the content, in hex; empty if not readable
};

using GoldenKey = std::array<std::byte, 32>;

struct GoldenImage {
  std::string file;  // "02-encrypted-files.vmgs.gz"
  std::string sha256;
  std::uint64_t size_bytes = 0;  // with packaging
  bool is_fixed_vhd = false;
  vmgs::format::HeaderSpacing spacing{};
  GoldenOutcome outcome{};
  std::vector<GoldenKey> keys;        // each of them opens it
  std::vector<GoldenKey> wrong_keys;  // none of them does

  // Of an image that opens.
  std::size_t active_slot = 0;
  std::uint32_t sequence = 0;
  bool encrypted = false;
  std::array<bool, 2> key_slots{};
  bool reprovisioned = false;
  std::uint32_t file_table_block = 0;
  std::uint32_t extended_table_block = 0;
  std::vector<GoldenFile> files;
  bool writable = true;

  // Files that read without the key, though with it they must not: SHA-256 of what is read.
  std::map<vmgs::format::FileId, std::string> without_key;

  bool clean = false;                    // a check with the key finds no error
  std::vector<std::string> must_report;  // findings that a check has to have
};

// operator<< writes the file name, for messages of parameterised tests.
std::ostream& operator<<(std::ostream& out, const GoldenImage& image);

// test_name() is the file name in the letters that GoogleTest allows: "02_encrypted_files".
std::string test_name(const GoldenImage& image);

const std::vector<GoldenImage>& golden_images();

// golden_image() is the one whose file name begins with `number`, such as "02".
const GoldenImage& golden_image(std::string_view number);

// golden_bytes() is the unpacked image, whose SHA-256 has been checked.
base::Bytes golden_bytes(const GoldenImage& image);

// golden_device() is a fresh copy of the store in memory, without packaging.
std::unique_ptr<vmgs::storage::BlockDevice> golden_device(const GoldenImage& image);

}  // namespace tests::support

// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include <zlib.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "vmgs/crypto/digest.h"
#include "vmgs/storage/fixed_vhd.h"
#include "vmgs/storage/memory.h"

namespace tests::support {

namespace {

namespace json = boost::json;
using vmgs::format::FileId;
using vmgs::format::HeaderSpacing;

const std::string kFolder = std::string(STRONGROOM_TEST_DATA) + "/vmgs/";

[[noreturn]] void give_up(const std::string& why) {
  std::cerr << "test data: " << why << "\n";
  std::abort();
}

template <typename Number>
Number number(const json::value& value) {
  return value.to_number<Number>();
}

std::string text(const json::value& value) { return std::string(value.as_string()); }

GoldenKey key(const json::value& hex) {
  const auto bytes = base::from_hex(text(hex));
  GoldenKey key{};
  if (!bytes || bytes->size() != key.size()) {
    give_up("a key is not 32 bytes");
  }
  std::ranges::copy(*bytes, key.begin());
  return key;
}

GoldenFile file(const json::object& raw) {
  GoldenFile file;
  file.id = static_cast<FileId>(number<int>(raw.at("id")));
  file.size_bytes = number<std::uint64_t>(raw.at("size"));
  file.first_block = number<std::uint32_t>(raw.at("block"));
  file.allocated_blocks = number<std::uint32_t>(raw.at("blocks"));
  file.encrypted = raw.at("encrypted").as_bool();
  file.readable = raw.at("read") == "ok";
  if (file.readable) {
    file.sha256 = text(raw.at("sha256"));
  }
  return file;
}

GoldenOutcome outcome(const json::value& open) {
  if (open == "ok") {
    return GoldenOutcome::kOpens;
  }
  if (open == "empty") {
    return GoldenOutcome::kBlank;
  }
  return open == "v1" ? GoldenOutcome::kVersion1 : GoldenOutcome::kCorrupt;
}

void read_opened(const json::object& raw, GoldenImage& image) {
  image.active_slot = number<std::size_t>(raw.at("activeSlot"));
  image.sequence = number<std::uint32_t>(raw.at("sequence"));
  image.encrypted = raw.at("encrypted").as_bool();
  image.key_slots = {raw.at("keySlots").at(0).as_bool(), raw.at("keySlots").at(1).as_bool()};
  image.reprovisioned = raw.at("reprovisioned").as_bool();
  image.file_table_block = number<std::uint32_t>(raw.at("fileTableBlock"));
  image.extended_table_block = number<std::uint32_t>(raw.at("extendedFileTableBlock"));
  for (const auto& entry : raw.at("files").as_array()) {
    image.files.push_back(file(entry.as_object()));
  }
  image.clean = raw.at("check").at("clean").as_bool();
  if (const auto* reports = raw.at("check").as_object().if_contains("mustReport")) {
    for (const auto& code : reports->as_array()) {
      image.must_report.push_back(text(code));
    }
  }
  if (const auto* writable = raw.if_contains("writable")) {
    image.writable = writable->as_bool();
  }
  if (const auto* files = raw.if_contains("withoutKey")) {
    for (const auto& [id, sha256] : files->as_object()) {
      image.without_key[static_cast<FileId>(std::stoi(std::string(id)))] = text(sha256);
    }
  }
}

GoldenImage image(const json::object& raw, const json::object& keys) {
  GoldenImage image;
  image.file = text(raw.at("file"));
  image.sha256 = text(raw.at("sha256"));
  image.size_bytes = number<std::uint64_t>(raw.at("bytes"));
  image.is_fixed_vhd = raw.at("container") == "fixed-vhd";
  image.spacing =
      number<int>(raw.at("sector")) == 4096 ? HeaderSpacing::k4096 : HeaderSpacing::k512;
  image.outcome = outcome(raw.at("open"));
  for (const auto& name : raw.at("keys").as_array()) {
    image.keys.push_back(key(keys.at(name.as_string())));
  }
  for (const auto& hex : raw.at("wrongKeys").as_array()) {
    image.wrong_keys.push_back(key(hex));
  }
  if (image.outcome == GoldenOutcome::kOpens) {
    read_opened(raw, image);
  }
  return image;
}

std::vector<GoldenImage> read_manifest() {
  std::ifstream stream(kFolder + "manifest.json");
  std::stringstream content;
  content << stream.rdbuf();
  try {
    const auto manifest = json::parse(content.str()).as_object();
    std::vector<GoldenImage> images;
    for (const auto& raw : manifest.at("vectors").as_array()) {
      images.push_back(image(raw.as_object(), manifest.at("keys").as_object()));
    }
    return images;
  } catch (const std::exception& error) {
    give_up(kFolder + "manifest.json: " + error.what());
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const GoldenImage& image) { return out << image.file; }

std::string test_name(const GoldenImage& image) {
  auto name = image.file.substr(0, image.file.find('.'));
  std::ranges::replace(name, '-', '_');
  return name;
}

const std::vector<GoldenImage>& golden_images() {
  static const auto images = read_manifest();
  return images;
}

const GoldenImage& golden_image(std::string_view number) {
  const auto found = std::ranges::find_if(
      golden_images(), [&](const GoldenImage& image) { return image.file.starts_with(number); });
  if (found == golden_images().end()) {
    give_up("no image " + std::string(number));
  }
  return *found;
}

base::Bytes golden_bytes(const GoldenImage& image) {
  const auto path = kFolder + image.file;
  base::Bytes bytes(image.size_bytes);
  auto* const stream = ::gzopen(path.c_str(), "rb");
  const int read =
      stream == nullptr ? -1 : ::gzread(stream, bytes.data(), static_cast<unsigned>(bytes.size()));
  if (stream != nullptr) {
    ::gzclose(stream);
  }
  if (read < 0 || static_cast<std::uint64_t>(read) != image.size_bytes ||
      base::to_hex(vmgs::crypto::sha256(bytes)) != image.sha256) {
    give_up(path + " is missing or not what it was");
  }
  return bytes;
}

std::unique_ptr<vmgs::storage::BlockDevice> golden_device(const GoldenImage& image) {
  auto file = std::make_unique<vmgs::storage::MemoryDevice>(golden_bytes(image));
  if (!image.is_fixed_vhd) {
    return file;
  }
  auto disk = vmgs::storage::FixedVhdDevice::open(std::move(file));
  if (!disk) {
    give_up(image.file + ": " + disk.error().message);
  }
  return *std::move(disk);
}

}  // namespace tests::support

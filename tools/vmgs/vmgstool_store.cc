// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/vmgstool_store.h"

#include <array>
#include <cstdio>
#include <filesystem>

#include "tools/cli/stream.h"
#include "vmgs/crypto/random.h"
#include "vmgs/format/header.h"
#include "vmgs/format/vhd_footer.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs::vmgstool {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

namespace {

constexpr std::uint64_t kMostFileBytes = std::uint64_t{4} << 30;
constexpr std::size_t kKeyBytes = 32;

// Nothing in it but, perhaps, a footer.
base::Result<bool> is_empty(storage::BlockDevice& file) {
  const auto end =
      file.size_bytes() - std::min<std::uint64_t>(file.size_bytes(), format::kVhdFooterBytes);
  base::Bytes piece;
  for (std::uint64_t at = 0; at < end; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(end - at, 1 << 20)));
    TRY(file.read(at, piece));
    if (!base::is_all_zero(piece)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string_view name(Exit exit) {
  switch (exit) {
    case Exit::kDone:
      return "Success";
    case Exit::kError:
      return "Error";
    case Exit::kNotEncrypted:
      return "ErrorNotEncrypted";
    case Exit::kEmpty:
      return "ErrorEmpty";
    case Exit::kNotFound:
      return "ErrorNotFound";
    case Exit::kVersion1:
      return "ErrorV1";
    case Exit::kGspById:
      return "ErrorGspById";
    case Exit::kGspUnknown:
      return "ErrorGspUnknown";
  }
  return {};
}

Outcome<void> check_file(const std::string& path) {
  TOOL_TRY_ASSIGN(file, storage::FileDevice::open(path, storage::Access::kReadOnly));
  if (file->size_bytes() > kMostFileBytes) {
    return fail(Exit::kError, "the VMGS file is larger than 4 GiB");
  }
  TOOL_TRY_ASSIGN(empty, is_empty(*file));
  if (empty) {
    return fail(Exit::kEmpty, "the VMGS file is empty");
  }
  std::array<std::byte, 8> at_512{};
  if (file->size_bytes() >= format::kHeaderSectorBytes + at_512.size()) {
    TOOL_TRY(file->read(format::kHeaderSectorBytes, at_512));
  }
  if (format::has_gpt_signature(at_512)) {
    return fail(Exit::kVersion1, "the file is of format VMGSv1");
  }
  return {};
}

Outcome<OpenStore> open(const std::string& path, const std::string& key_path,
                        storage::Access access, Locked locked,
                        const std::optional<std::filesystem::path>& undo_file) {
  TOOL_TRY(check_file(path));
  std::optional<volume::DatastoreKey> key;
  if (!key_path.empty()) {
    TOOL_TRY_ASSIGN(read, read_key(key_path));
    key = std::move(read);
  }
  TOOL_TRY_ASSIGN(container,
                  storage::open_container(path, {.access = access, .undo_file = undo_file}));
  TOOL_TRY_ASSIGN(opened, volume::Volume::open(*container.device, container.spacing));
  if (key && !opened.encrypted()) {
    return fail(Exit::kNotEncrypted, "a key was given, but the file is not encrypted");
  }
  if (key) {
    TOOL_TRY(opened.unlock(volume::fixed_key(*std::move(key))));
  }
  if (opened.locked()) {
    if (locked == Locked::kRefused) {
      return fail(Exit::kError, "the VMGS file is encrypted, but no encryption key was provided");
    }
    say("Warning: opening an encrypted file without decrypting");
  }
  return OpenStore{std::move(container), std::move(opened)};
}

Outcome<volume::DatastoreKey> read_key(const std::string& path) {
  TOOL_TRY_ASSIGN(content, cli::read_input(path, kKeyBytes));
  if (content.size() != kKeyBytes) {
    return fail(Exit::kError, "a key must be 32 bytes long, this is " +
                                  std::to_string(content.size()) + " bytes instead");
  }
  return volume::DatastoreKey{
      base::Secret<kKeyBytes>::copy_of(content.expose().first<kKeyBytes>())};
}

Outcome<format::FileId> parse_id(const std::string& text) {
  TOOL_TRY_ASSIGN(id, format::parse_file_id(text));
  return id;
}

Outcome<void> check_replaceable(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    return fail(Exit::kError, path + " is no regular file, and is not replaced by one");
  }
  return {};
}

Outcome<std::string> name_beside(const std::string& path) {
  std::array<std::byte, 8> random{};
  TOOL_TRY(::vmgs::crypto::random_bytes(random));
  return path + "." + base::to_hex(random);
}

Outcome<void> replace_file(const std::string& beside, const std::string& path) {
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (error) {
    const auto why = error.message();
    std::filesystem::remove(beside, error);
    return fail(Exit::kError, "cannot replace " + path + ": " + why);
  }
  TOOL_TRY(storage::sync_folder_of(path));
  return {};
}

Outcome<void> write_private(const std::string& path, base::ByteView bytes) {
  TOOL_TRY(check_replaceable(path));
  TOOL_TRY_ASSIGN(beside, name_beside(path));
  TOOL_TRY(storage::create_private_file(beside, bytes));
  return replace_file(beside, path);
}

std::string described(format::FileId id) {
  const auto known = format::name(id);
  const auto number = std::to_string(format::index(id));
  return number + " (" + (known.empty() ? "FileId(" + number + ")" : std::string(known)) + ")";
}

void say(const std::string& line) {
  const auto whole = line + "\n";
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

Outcome<void> print(const std::string& text) {
  cli::Output output("vmgstool");
  TOOL_TRY(output.text(text));
  return {};
}

}  // namespace tools::vmgs::vmgstool

// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "tools/cli/stream.h"
#include "tools/vmgs/new_store.h"
#include "tools/vmgs/vmgstool_commands.h"

namespace tools::vmgs::vmgstool {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

namespace {

constexpr std::size_t kMostDataBytes = std::size_t{256} << 20;
constexpr std::size_t kBytesALine = 16;

volume::Transaction edit() {
  return volume::Transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
}

// A store that is to be made anew: nobody may be using the old one.
Outcome<void> replace(const std::string& path, const storage::CreateOptions& options,
                      const std::function<base::Result<void>(storage::Container&)>& fill) {
  TOOL_TRY(check_replaceable(path));
  TOOL_TRY_ASSIGN(old, storage::FileDevice::open(path, storage::Access::kReadWrite));
  TOOL_TRY_ASSIGN(beside, name_beside(path));
  TOOL_TRY(make_new_store(beside, options, fill));
  return replace_file(beside, path);
}

// As the reference prints data to a terminal.
std::string hex_dump(base::ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += kBytesALine) {
    const auto line = bytes.subspan(at, std::min(kBytesALine, bytes.size() - at));
    std::string letters;
    for (const auto each : line) {
      const auto value = std::to_integer<unsigned>(each);
      text += std::string("0x") + kDigits[value >> 4] + kDigits[value & 15] + ",";
      letters += value > 0x20 && value < 0x7f ? static_cast<char>(value) : '.';
    }
    text += std::string((kBytesALine - line.size()) * 5 + 1, ' ') + "// " + letters + "\n";
  }
  return text;
}

// The bytes as they lie, ciphertext where they are that.
base::Result<base::Bytes> read_raw(const OpenStore& store, const format::FileEntry& entry) {
  base::Bytes bytes(static_cast<std::size_t>(entry.valid_bytes));
  TRY(store.container.device->read(std::uint64_t{entry.first_block} * format::kBlockBytes, bytes));
  return bytes;
}

Outcome<format::FileEntry> entry_of(const OpenStore& store, format::FileId id) {
  const auto& table = store.volume.current().table();
  if (!table) {
    return passed(table.error());
  }
  if (!(*table)[id]) {
    return fail(Exit::kNotFound, "file " + described(id) + " is not allocated");
  }
  return *(*table)[id];
}

}  // namespace

Outcome<void> create(const Arguments& arguments) {
  storage::CreateOptions options;
  options.store_bytes = arguments.file_size == 0 ? format::kDefaultStoreBytes : arguments.file_size;
  std::optional<volume::DatastoreKey> key;
  if (!arguments.key_path.empty()) {
    TOOL_TRY_ASSIGN(read, read_key(arguments.key_path));
    key = std::move(read);
  }
  const auto format_it = [&](storage::Container& container) -> base::Result<void> {
    TRY(volume::Volume::format(*container.device, container.spacing, std::move(key)));
    return {};
  };
  TOOL_TRY(print("Creating file " + arguments.file_path + " with file size " +
                 std::to_string(options.store_bytes) +
                 (arguments.file_size == 0 ? " (default)...\n" : "...\n")));
  if (arguments.force_create && std::filesystem::exists(arguments.file_path)) {
    TOOL_TRY(replace(arguments.file_path, options, format_it));
  } else {
    TOOL_TRY(make_new_store(arguments.file_path, options, format_it));
  }
  return print("Done!\n");
}

Outcome<void> write(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(id, parse_id(arguments.file_id));
  TOOL_TRY_ASSIGN(content, cli::read_input(arguments.data_path, kMostDataBytes));
  const auto make = [&](OpenStore& store) -> Outcome<void> {
    const auto present = entry_of(store, id);
    if (present && present->valid_bytes > 0 && !arguments.allow_overwrite) {
      return fail(Exit::kError, "file " + described(id) +
                                    " already exists: use --allow-overwrite to ignore that");
    }
    auto transaction = edit();
    transaction.put(
        id, content.expose(),
        arguments.key_path.empty() ? volume::Protection::kPlaintext : volume::Protection::kAsStore);
    return commit(store, std::move(transaction), arguments.undo);
  };
  TOOL_TRY(change(arguments, Locked::kAllowed, make));
  return print("Done!\n");
}

Outcome<void> dump(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(id, parse_id(arguments.file_id));
  TOOL_TRY_ASSIGN(store, open(arguments.file_path, arguments.key_path, storage::Access::kReadOnly,
                              Locked::kAllowed));
  TOOL_TRY_ASSIGN(entry, entry_of(store, id));
  base::Bytes bytes;
  if (store.volume.locked() || !format::is_content(id)) {
    TOOL_TRY_ASSIGN(raw, read_raw(store, entry));
    bytes = std::move(raw);
  } else {
    TOOL_TRY_ASSIGN(content, store.volume.read(id));
    bytes = base::copy_of(content.expose());
  }
  say("Size: " + std::to_string(bytes.size()) + " bytes");
  if (!arguments.data_path.empty()) {
    return write_private(arguments.data_path, bytes);
  }
  return print(arguments.raw_stdout
                   ? std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())
                   : hex_dump(bytes));
}

Outcome<void> query_size(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(id, parse_id(arguments.file_id));
  TOOL_TRY_ASSIGN(store,
                  open(arguments.file_path, {}, storage::Access::kReadOnly, Locked::kAllowed));
  TOOL_TRY_ASSIGN(entry, entry_of(store, id));
  return print("File ID " + described(id) + " has a size of " + std::to_string(entry.valid_bytes) +
               "\n");
}

Outcome<void> move(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(from, parse_id(arguments.source_id));
  TOOL_TRY_ASSIGN(to, parse_id(arguments.target_id));
  const auto make = [&](OpenStore& store) -> Outcome<void> {
    TOOL_TRY(entry_of(store, from));
    if (from == to || (store.volume.contains(to) && !arguments.allow_overwrite)) {
      return fail(Exit::kError, "file " + described(to) +
                                    " already exists: use --allow-overwrite to ignore that");
    }
    TOOL_TRY_ASSIGN(content, store.volume.read(from));
    auto transaction = edit();
    transaction.put(to, content.expose(),
                    store.volume.current().is_encrypted(from) ? volume::Protection::kAsStore
                                                              : volume::Protection::kPlaintext);
    transaction.remove(from);
    return commit(store, std::move(transaction), arguments.undo);
  };
  TOOL_TRY(change(arguments, Locked::kRefused, make));
  return {};
}

Outcome<void> remove(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(id, parse_id(arguments.file_id));
  const auto make = [&](OpenStore& store) -> Outcome<void> {
    TOOL_TRY(entry_of(store, id));
    auto transaction = edit();
    transaction.remove(id);
    return commit(store, std::move(transaction), arguments.undo);
  };
  TOOL_TRY(change(arguments, Locked::kAllowed, make));
  return {};
}

}  // namespace tools::vmgs::vmgstool

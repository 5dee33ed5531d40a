// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/store.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "tools/cli/stream.h"
#include "tools/swtpm/key_option.h"
#include "vmgs/storage/overlay.h"

namespace tools::vmgs {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

void add_store_arguments(CLI::App& app, StoreArguments& arguments) {
  app.add_option("FILE", arguments.path, "The VMGS file, or the block device that holds one")
      ->required();
  app.add_option("--key", arguments.key,
                 "Datastore key: a file with 32 bytes or 64 hexadecimal digits, - for stdin, fd:N; "
                 "or swtpm: and what swtpm's --key takes, for a TPM that our swtpm keeps")
      ->type_name("FROM");
  app.add_option("--sector-size", arguments.sector_bytes,
                 "Sector size that a raw file's store was formatted with")
      ->check(CLI::IsMember({512, 4096}));
}

base::Result<volume::DatastoreKey> read_store_key(const std::string& from) {
  constexpr std::string_view kSwtpm = "swtpm:";
  if (!from.starts_with(kSwtpm)) {
    return cli::read_key(from);
  }
  TRY_ASSIGN(key, swtpm::read_key_option("key", std::string_view(from).substr(kSwtpm.size())));
  return swtpm::store_key_of(key);
}

void add_file_id_argument(CLI::App& app, std::string& id) {
  app.add_option("ID", id, "The file in it: a number, or a name such as TPM_NVRAM")->required();
}

base::Result<format::FileId> parse_content_id(const std::string& text) {
  TRY_ASSIGN(id, format::parse_file_id(text));
  if (!format::is_content(id)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      format::describe(id) + " is a table of the store and no file to use");
  }
  return id;
}

base::Result<storage::Container> open_container(const StoreArguments& arguments,
                                                storage::Access access,
                                                const std::optional<std::filesystem::path>& undo) {
  storage::OpenOptions options{.access = access, .undo_file = undo};
  if (arguments.sector_bytes != 0) {
    TRY_ASSIGN(spacing, format::header_spacing_of(arguments.sector_bytes));
    options.spacing = spacing;
  }
  return storage::open_container(arguments.path, options);
}

base::Result<OpenStore> open_store(const StoreArguments& arguments, storage::Access access,
                                   const cli::Output& output,
                                   const std::optional<std::filesystem::path>& undo_file,
                                   WritesGo writes_go) {
  std::optional<volume::DatastoreKey> key;
  if (!arguments.key.empty()) {
    TRY_ASSIGN(read, read_store_key(arguments.key));
    key = std::move(read);
  }
  TRY_ASSIGN(container, open_container(arguments, access, undo_file));
  if (writes_go == WritesGo::kToMemory) {
    container.device = std::make_unique<storage::Overlay>(std::move(container.device));
  }
  auto opened = volume::Volume::open(*container.device, container.spacing);
  if (!opened) {
    return base::fail(std::move(opened).error().context(arguments.path));
  }
  if (key && !opened->encrypted()) {
    return base::fail(base::ErrorCode::kDenied,
                      arguments.path +
                          ": a key was given, but the header says that the store is not "
                          "encrypted. If it ever was, it was tampered with; see `vmgs check`");
  }
  if (key) {
    auto unlocked = opened->unlock(volume::fixed_key(*std::move(key)));
    if (!unlocked) {
      return base::fail(std::move(unlocked).error().context(arguments.path));
    }
  }
  for (const auto& finding : opened->findings()) {
    if (finding.severity != volume::Severity::kNote) {
      output.talk(finding.where + ": " + finding.message);
    }
  }
  return OpenStore{std::move(container), *std::move(opened)};
}

std::string_view name(volume::Severity severity) {
  switch (severity) {
    case volume::Severity::kNote:
      return "note";
    case volume::Severity::kWarning:
      return "warning";
    case volume::Severity::kError:
      return "error";
  }
  return {};
}

boost::json::array to_json(const std::vector<volume::Finding>& findings) {
  boost::json::array array;
  for (const auto& finding : findings) {
    array.push_back({{"code", finding.code},
                     {"severity", name(finding.severity)},
                     {"where", finding.where},
                     {"message", finding.message}});
  }
  return array;
}

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <utility>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/new_store.h"
#include "tools/vmgs/store.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace fs = std::filesystem;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

struct CreateArguments {
  StoreArguments store;
  std::uint64_t size_bytes = format::kDefaultStoreBytes;
  bool raw = false;
};

base::Result<volume::Volume> format_blank(const storage::Container& container,
                                          std::optional<volume::DatastoreKey> key) {
  return volume::Volume::format(*container.device, container.spacing, std::move(key));
}

base::Result<storage::Container> create_file(const CreateArguments& arguments,
                                             std::optional<volume::DatastoreKey> key) {
  storage::CreateOptions options{.store_bytes = arguments.size_bytes};
  options.kind =
      arguments.raw ? storage::ContainerKind::kRawFile : storage::ContainerKind::kFixedVhd;
  if (arguments.store.sector_bytes != 0) {
    TRY_ASSIGN(spacing, format::header_spacing_of(arguments.store.sector_bytes));
    options.spacing = spacing;
  }
  return make_new_store(arguments.store.path, options,
                        [&](storage::Container& container) -> base::Result<void> {
                          TRY(format_blank(container, std::move(key)));
                          return {};
                        });
}

// A block device cannot be made under another name; the header that is written last makes it a
// store. What lies on one that is not blank is somebody's.
base::Result<storage::Container> create_on_device(const CreateArguments& arguments,
                                                  std::optional<volume::DatastoreKey> key) {
  if (arguments.raw || arguments.size_bytes != format::kDefaultStoreBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      arguments.store.path + " is a block device: --size and --raw are for files");
  }
  TRY_ASSIGN(container, open_container(arguments.store, storage::Access::kReadWrite));
  TRY_ASSIGN(is_blank, volume::Volume::is_blank(*container.device));
  if (!is_blank) {
    return base::fail(base::ErrorCode::kDenied,
                      arguments.store.path +
                          " is not blank: if what is on it may be lost, zero its first 8192 bytes");
  }
  TRY(format_blank(container, std::move(key)));
  return container;
}

base::Result<cli::ExitStatus> create(const CreateArguments& arguments, cli::Output& output) {
  std::optional<volume::DatastoreKey> key;
  if (!arguments.store.key.empty()) {
    TRY_ASSIGN(read, read_store_key(arguments.store.key));
    key = std::move(read);
  }
  const bool encrypted = key.has_value();
  std::error_code ignored;
  const auto existing = fs::status(arguments.store.path, ignored);
  if (fs::exists(existing) && !fs::is_block_file(existing)) {
    return base::fail(base::ErrorCode::kDenied,
                      arguments.store.path + " exists already and is never overwritten");
  }
  TRY_ASSIGN(container, fs::is_block_file(existing) ? create_on_device(arguments, std::move(key))
                                                    : create_file(arguments, std::move(key)));
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.create/1", {{"file", arguments.store.path},
                                                     {"container", name(container.kind)},
                                                     {"size_bytes", container.device->size_bytes()},
                                                     {"header_spacing", bytes(container.spacing)},
                                                     {"encrypted", encrypted}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command create_command() {
  return {.name = "create",
          .summary = "Make a new store without files, encrypted if a key is given",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<CreateArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("--size", arguments->size_bytes,
                           "Room for the store, such as 4MiB; the footer comes on top")
                ->transform(CLI::AsSizeValue(false))
                ->capture_default_str();
            app.add_flag("--raw", arguments->raw,
                         "No VHD footer: most deployed tools do not open such a file");
            return [arguments](cli::Output& output) { return create(*arguments, output); };
          }};
}

}  // namespace tools::vmgs

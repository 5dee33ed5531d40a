// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/new_store.h"
#include "tools/vmgs/store.h"
#include "vmgs/edit/conversion.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;

struct ConvertArguments {
  StoreArguments store;
  std::string target;
  bool raw = false;
  std::uint32_t target_sector_bytes = 512;
  std::uint64_t size_bytes = 0;  // 0: as the old one
};

base::Result<storage::CreateOptions> options_of(const ConvertArguments& arguments,
                                                const storage::Container& from) {
  storage::CreateOptions options;
  options.kind =
      arguments.raw ? storage::ContainerKind::kRawFile : storage::ContainerKind::kFixedVhd;
  TRY_ASSIGN(spacing, format::header_spacing_of(arguments.target_sector_bytes));
  options.spacing = spacing;
  options.store_bytes =
      arguments.size_bytes != 0
          ? arguments.size_bytes
          : format::capacity_blocks(from.device->size_bytes()) * format::kBlockBytes;
  return options;
}

base::Result<cli::ExitStatus> convert(const ConvertArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(from, open_container(arguments.store, storage::Access::kReadOnly));
  TRY_ASSIGN(options, options_of(arguments, from));
  TRY_ASSIGN(made, make_new_store(arguments.target, options, [&](storage::Container& to) {
               return ::vmgs::edit::copy_store(*from.device, from.spacing, *to.device, to.spacing);
             }));
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.convert/1",
                        {{"file", arguments.store.path},
                         {"output", arguments.target},
                         {"container_before", name(from.kind)},
                         {"container", name(made.kind)},
                         {"header_spacing_before", bytes(from.spacing)},
                         {"header_spacing", bytes(made.spacing)},
                         {"size_bytes", made.device->size_bytes()}}));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command convert_command() {
  return {
      .name = "convert",
      .summary = "Copy a store into a new file of another kind: VHD or raw, 512 or 4096",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<ConvertArguments>();
        app.add_option("FILE", arguments->store.path,
                       "The VMGS file, or the block device that holds one")
            ->required();
        app.add_option("NEW", arguments->target, "The new file, which must not exist")->required();
        app.add_option("--sector-size", arguments->store.sector_bytes,
                       "Sector size that a raw FILE's store was formatted with")
            ->check(CLI::IsMember({512, 4096}));
        app.add_flag("--raw", arguments->raw,
                     "No VHD footer on NEW: most deployed tools do not open such a file");
        app.add_option("--new-sector-size", arguments->target_sector_bytes,
                       "Sector size that NEW is for; 4096 for raw files only")
            ->check(CLI::IsMember({512, 4096}))
            ->capture_default_str();
        app.add_option("--size", arguments->size_bytes, "Room for the new store, if more")
            ->transform(CLI::AsSizeValue(false));
        return [arguments](cli::Output& output) { return convert(*arguments, output); };
      }};
}

}  // namespace tools::vmgs

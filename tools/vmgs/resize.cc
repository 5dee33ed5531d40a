// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "vmgs/edit/capacity.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;

struct ResizeArguments {
  ChangeArguments change;
  std::uint64_t size_bytes = 0;
};

base::Result<cli::ExitStatus> resize(const ResizeArguments& arguments, cli::Output& output) {
  TRY(::vmgs::edit::check_capacity(arguments.size_bytes));
  std::optional<::vmgs::volume::DatastoreKey> key;
  if (!arguments.change.store.key.empty()) {
    TRY_ASSIGN(read, read_store_key(arguments.change.store.key));
    key = std::move(read);
  }
  auto locked = arguments.change;
  locked.store.key.clear();  // read once already, maybe from a pipe
  std::uint64_t before = 0;
  std::vector<format::FileId> moved;
  TRY_ASSIGN(
      changed, change_store(locked, output, [&](OpenStore& store) -> base::Result<void> {
        auto& container = store.container;
        if (container.kind == storage::ContainerKind::kBlockDevice) {
          return base::fail(base::ErrorCode::kDenied,
                            "a block device is as large as it is: convert copies the store");
        }
        before = container.device->size_bytes();
        if (arguments.size_bytes < before) {
          TRY_ASSIGN(vacated, ::vmgs::edit::vacate(*container.device, container.spacing,
                                                   key ? &*key : nullptr, arguments.size_bytes));
          moved = std::move(vacated);
        }
        return locked.writes()
                   ? ::vmgs::edit::move_end(*container.whole,
                                            container.kind == storage::ContainerKind::kFixedVhd,
                                            arguments.size_bytes)
                   : base::Result<void>();
      }));
  boost::json::array ids;
  std::string text = "the store of " + std::to_string(before) + " bytes becomes one of " +
                     std::to_string(arguments.size_bytes) + "\n";
  for (const auto id : moved) {
    ids.push_back(format::index(id));
    text += format::describe(id) + " moves to the front\n";
  }
  TRY(answer_change(
      output, arguments.change, "strongroom.vmgs.resize/1",
      {{"bytes_before", before}, {"bytes_after", arguments.size_bytes}, {"moved", std::move(ids)}},
      changed, std::move(text)));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command resize_command() {
  return {.name = "resize",
          .summary = "Give a store more or less room, keeping its state",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<ResizeArguments>();
            add_change_arguments(app, arguments->change, Writing::kOnApply);
            app.add_option("--size", arguments->size_bytes,
                           "Room for the store, such as 8MiB; a footer comes on top")
                ->transform(CLI::AsSizeValue(false))
                ->required();
            return [arguments](cli::Output& output) { return resize(*arguments, output); };
          }};
}

}  // namespace tools::vmgs

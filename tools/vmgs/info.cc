// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <iomanip>
#include <memory>
#include <sstream>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/store.h"
#include "vmgs/format/blocks.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

// Blocks that no file and no table holds.
std::uint64_t free_blocks(const OpenStore& store) {
  std::uint64_t used = format::kFirstUsableBlock;
  if (const auto& table = store.volume.current().table()) {
    for (const auto& entry : table->entries) {
      used += entry ? entry->allocated_blocks : 0;
    }
  }
  const auto capacity = format::capacity_blocks(store.container.device->size_bytes());
  return capacity > used ? capacity - used : 0;  // overlapping files may claim more than there is
}

boost::json::object describe(const volume::FileStatus& file) {
  boost::json::object object = {{"id", format::index(file.id)}};
  const auto known = format::name(file.id);
  object["name"] = known.empty() ? boost::json::value() : boost::json::value(known);
  object["size_bytes"] = file.size_bytes;
  object["first_block"] = file.first_block;
  object["blocks"] = file.allocated_blocks;
  object["encrypted"] = file.encrypted;
  return object;
}

base::Result<void> answer_json(cli::Output& output, const std::string& path,
                               const OpenStore& store) {
  const auto& header = store.volume.current().header();
  boost::json::object fields = {
      {"file", path},
      {"container", name(store.container.kind)},
      {"size_bytes", store.container.device->size_bytes()},
      {"header_spacing", bytes(store.container.spacing)},
      {"capacity_blocks", format::capacity_blocks(store.container.device->size_bytes())},
      {"free_blocks", free_blocks(store)},
      {"active_slot", store.volume.current().slot()},
      {"sequence", header.sequence},
      {"reprovisioned", header.reprovisioned},
      {"encrypted", store.volume.encrypted()},
      {"locked", store.volume.locked()},
      {"key_slots", {header.key_slots[0].has_value(), header.key_slots[1].has_value()}},
  };
  if (store.volume.encrypted() && !store.volume.locked()) {
    fields["commit_sequence"] = store.volume.commit_sequence();
  }
  boost::json::array files;
  for (const auto& file : store.volume.files()) {
    files.push_back(describe(file));
  }
  fields["files"] = std::move(files);
  fields["findings"] = to_json(store.volume.findings());
  return output.document("strongroom.vmgs.info/1", std::move(fields));
}

std::string protection(const OpenStore& store) {
  if (!store.volume.encrypted()) {
    return "none, everything is in plaintext";
  }
  const auto& slots = store.volume.current().header().key_slots;
  return std::string("encrypted, ") + (store.volume.locked() ? "locked" : "unlocked") +
         (slots[0] && slots[1] ? ", two keys open it" : "");
}

base::Result<void> answer_text(cli::Output& output, const std::string& path,
                               const OpenStore& store) {
  std::ostringstream text;
  text << "file        " << path << "\n"
       << "container   " << name(store.container.kind) << ", "
       << store.container.device->size_bytes() << " bytes, headers "
       << bytes(store.container.spacing) << " bytes apart\n"
       << "blocks      " << format::capacity_blocks(store.container.device->size_bytes())
       << " of 4096 bytes, " << free_blocks(store) << " free\n"
       << "protection  " << protection(store) << "\n"
       << "header      slot " << store.volume.current().slot() << ", sequence "
       << store.volume.current().header().sequence
       << (store.volume.current().header().reprovisioned ? ", reprovisioned" : "") << "\n";
  if (store.volume.encrypted() && !store.volume.locked()) {
    text << "commits     "
         << (store.volume.commit_sequence() == 0 ? "no commit sequence: made or edited by a tool"
                                                 : std::to_string(store.volume.commit_sequence()))
         << "\n";
  }
  text << "\n ID  NAME                       SIZE   BLOCK  BLOCKS  KEPT\n";
  for (const auto& file : store.volume.files()) {
    text << std::setw(3) << format::index(file.id) << "  " << std::left << std::setw(20)
         << format::name(file.id) << std::right << std::setw(11) << file.size_bytes << std::setw(8)
         << file.first_block << std::setw(8) << file.allocated_blocks << "  "
         << (file.encrypted ? "encrypted" : "plaintext") << "\n";
  }
  return output.text(text.str());
}

base::Result<cli::ExitStatus> info(const StoreArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(store, open_store(arguments, ::vmgs::storage::Access::kReadOnly, output));
  TRY(output.json() ? answer_json(output, arguments.path, store)
                    : answer_text(output, arguments.path, store));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command info_command() {
  return {.name = "info",
          .summary = "Show what a store is and which files it holds",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto store = std::make_shared<StoreArguments>();
            add_store_arguments(app, *store);
            return [store](cli::Output& output) { return info(*store, output); };
          }};
}

}  // namespace tools::vmgs

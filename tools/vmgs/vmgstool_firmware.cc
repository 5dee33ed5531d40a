// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <charconv>

#include "tools/cli/stream.h"
#include "tools/vmgs/vmgstool_commands.h"
#include "vmgs/format/pe_resource.h"

namespace tools::vmgs::vmgstool {

namespace format = ::vmgs::format;
namespace volume = ::vmgs::volume;

namespace {

constexpr std::size_t kMostImageBytes = std::size_t{512} << 20;
constexpr std::size_t kMostFirmwareBytes = std::size_t{256} << 20;

// The codes by which firmware is shipped.
Outcome<std::uint32_t> resource_code(const std::string& text) {
  static constexpr std::array<std::pair<std::string_view, std::uint32_t>, 5> kCodes = {
      {{"NONCONFIDENTIAL", 13510},
       {"SNP", 13515},
       {"SNP_NO_HCL", 13516},
       {"TDX", 13520},
       {"TDX_NO_HCL", 13521}}};
  for (const auto& [name, code] : kCodes) {
    if (text == name) {
      return code;
    }
  }
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) {
    return fail(Exit::kError, "\"" + text + "\" is no resource code");
  }
  return number;
}

}  // namespace

Outcome<void> copy_firmware(const Arguments& arguments) {
  TOOL_TRY_ASSIGN(code, resource_code(arguments.resource_code));
  TOOL_TRY_ASSIGN(image, cli::read_input(arguments.data_path, kMostImageBytes));
  TOOL_TRY_ASSIGN(firmware, format::find_pe_resource(image.expose(), "VMFW", code));
  if (firmware.size() > kMostFirmwareBytes) {
    return fail(Exit::kError, "the firmware has more than 256 MiB");
  }
  constexpr auto kId = format::FileId::kGuestFirmware;
  const auto make = [&](OpenStore& store) -> Outcome<void> {
    if (store.volume.contains(kId) && !arguments.allow_overwrite) {
      return fail(Exit::kError, "file " + described(kId) +
                                    " already exists: use --allow-overwrite to ignore that");
    }
    volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
    transaction.put(kId, firmware, volume::Protection::kPlaintext);
    return commit(store, std::move(transaction), arguments.undo);
  };
  TOOL_TRY(change(arguments, Locked::kAllowed, make));
  return {};
}

}  // namespace tools::vmgs::vmgstool

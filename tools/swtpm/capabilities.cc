// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/capabilities.h"

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <system_error>

#include "vmgs/format/file_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/storage/memory.h"
#include "vmgs/volume/volume.h"
#include "vtpm/boot/swtpm_import.h"

namespace tools::swtpm {

using vmgs::format::FileId;
using vtpm::boot::StateOwner;

namespace {

// The largest store that a drop-in would make is a fraction of it.
constexpr std::size_t kMostStoreBytes = std::size_t{64} << 20U;

std::string document(std::string_view program, std::initializer_list<std::string_view> features) {
  std::string text = R"({ "type": ")" + std::string(program) + R"(", "features": [)";
  for (const auto feature : features) {
    text += (text.back() == '[' ? " \"" : ", \"") + std::string(feature) + "\"";
  }
  return text + R"( ], "version": ")" STRONGROOM_VERSION R"(" })" + "\n";
}

std::string state(std::string_view name, std::uint64_t bytes) {
  return R"({"name": ")" + std::string(name) + R"(", "size": )" + std::to_string(bytes) + "}";
}

std::string states(const std::string& all) {
  return R"({ "type": "swtpm", "states": [)" + (all.empty() ? "" : " " + all + " ") + "] }\n";
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

std::string in_swtpms_files(const vtpm::boot::SwtpmFolder& folder) {
  auto all = state("permall", size_of(folder.store()));
  std::error_code error;
  if (std::filesystem::exists(folder.volatile_state(), error)) {
    all += ", " + state("volatilestate", size_of(folder.volatile_state()));
  }
  return all;
}

base::Result<std::string> in_volume(vmgs::storage::BlockDevice& device,
                                    vmgs::format::HeaderSpacing spacing) {
  TRY_ASSIGN(volume, vmgs::volume::Volume::open(device, spacing));
  std::string all;
  for (const auto& file : volume.files()) {
    if (file.id == FileId::kTpmNvram) {
      all = state("permall", file.size_bytes);
    } else if (file.id == FileId::kTpmVolatile) {
      all += ", " + state("volatilestate", file.size_bytes);
    }
  }
  return all;
}

base::Result<std::string> in_store(const std::filesystem::path& path) {
  auto container = vmgs::storage::open_container(path, {});
  if (container) {
    return in_volume(*container->device, container->spacing);
  }
  if (container.error().code != base::ErrorCode::kUnavailable || size_of(path) > kMostStoreBytes) {
    return base::fail(std::move(container).error());
  }
  // Somebody uses it, and keeps it readable at each moment.
  std::ifstream file(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  vmgs::storage::MemoryDevice copy(base::copy_of(base::bytes_of(content)));
  return in_volume(copy, vmgs::format::HeaderSpacing::k512);
}

}  // namespace

std::string capabilities_of_swtpm() {
  return document(
      "swtpm",
      {"tpm-2.0", "tpm-send-command-header", "flags-opt-startup", "flags-opt-disable-auto-shutdown",
       "ctrl-opt-terminate", "cmdarg-key-fd", "cmdarg-pwd-fd", "cmdarg-print-states",
       "cmdarg-chroot", "cmdarg-migration", "nvram-backend-dir", "nvram-backend-file",
       "rsa-keysize-1024", "rsa-keysize-2048", "rsa-keysize-3072", "tpmstate-opt-lock"});
}

std::string capabilities_of_setup() {
  return document("swtpm_setup", {"tpm-2.0", "cmdarg-keyfile-fd", "cmdarg-pwdfile-fd",
                                  "tpm12-not-need-root", "cmdarg-write-ek-cert-files",
                                  "cmdarg-create-config-files", "cmdarg-reconfigure-pcr-banks",
                                  "tpm2-rsa-keysize-2048", "tpm2-rsa-keysize-3072"});
}

base::Result<std::string> states_in(const StatePlace& place) {
  TRY_ASSIGN(owner, place.owner());
  if (owner == StateOwner::kNobody) {
    return states("");
  }
  if (owner == StateOwner::kSwtpm && place.folder) {
    return states(in_swtpms_files(*place.folder));
  }
  auto in_ours = in_store(place.store);
  if (in_ours) {
    return states(*in_ours);
  }
  switch (in_ours.error().code) {
    case base::ErrorCode::kNotFound:
      return states("");
    case base::ErrorCode::kIo:
      return base::fail(std::move(in_ours).error());
    default:
      // There is something; what it is, a start will say. Whoever asks must not take it for
      // nothing.
      return states(state("permall", size_of(place.store)));
  }
}

}  // namespace tools::swtpm

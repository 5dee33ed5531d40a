// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/new_store.h"

#include <unistd.h>

#include <array>
#include <filesystem>

#include "vmgs/base/bytes.h"
#include "vmgs/crypto/random.h"

namespace tools::vmgs {

namespace {

namespace fs = std::filesystem;
namespace storage = ::vmgs::storage;

// A name beside the final one that nobody else uses.
base::Result<fs::path> temporary_name(const fs::path& path) {
  std::array<std::byte, 8> random{};
  TRY(::vmgs::crypto::random_bytes(random));
  auto name = path;
  name.replace_filename("." + path.filename().string() + "." + base::to_hex(random));
  return name;
}

}  // namespace

base::Result<storage::Container> make_new_store(
    const std::string& path, const storage::CreateOptions& options,
    const std::function<base::Result<void>(storage::Container&)>& fill) {
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(path, ignored))) {
    return base::fail(base::ErrorCode::kDenied, path + " exists already and is never overwritten");
  }
  TRY_ASSIGN(temporary, temporary_name(path));
  TRY_ASSIGN(container, storage::create_container(temporary, options));
  auto made = fill(container);
  if (made) {
    made = container.file->publish_as(path);
  }
  if (!made) {
    ::unlink(temporary.c_str());
    return base::fail(std::move(made).error());
  }
  return container;
}

}  // namespace tools::vmgs

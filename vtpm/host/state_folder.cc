// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/state_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace vtpm::host {

namespace {

using base::ErrorCode;
namespace fs = std::filesystem;

tl::unexpected<base::Error> fail_io(const std::string& what, const fs::path& path, int error) {
  return base::fail(ErrorCode::kIo, "cannot " + what + " " + path.string() + ": " +
                                        std::generic_category().message(error));
}

// Stores are for nobody else. Sockets have modes of their own; to reach one, folders are passed.
constexpr mode_t kStateMode = S_IRWXU;
constexpr mode_t kRuntimeMode = S_IRWXU | S_IXGRP | S_IXOTH;

base::Result<void> make_folder(const fs::path& path, mode_t mode) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (mkdir(path.c_str(), S_IRWXU) != 0) {
    return errno == EEXIST ? base::Result<void>() : fail_io("make the folder", path, errno);
  }
  if (chmod(path.c_str(), mode) != 0) {
    return fail_io("set the mode of", path, errno);
  }
  return {};
}

base::Result<void> sync_folder(const fs::path& path) {
  const base::Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || fsync(folder.number()) != 0) {
    return fail_io("sync the folder", path, errno);
  }
  return {};
}

base::Result<base::Descriptor> claim(const fs::path& folder, const char* name) {
  const auto path = folder / name;
  base::Descriptor lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!lock.is_open()) {
    return fail_io("open", path, errno);
  }
  if (flock(lock.number(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return base::fail(ErrorCode::kUnavailable,
                        "another vtpmd works in " + folder.string() + "; end it first");
    }
    return fail_io("lock", path, errno);
  }
  return lock;
}

}  // namespace

StateFolder::StateFolder(fs::path state, fs::path runtime)
    : state_(std::move(state)), runtime_(std::move(runtime)) {}

fs::path StateFolder::vm(const VmId& id) const { return state_ / "vms" / to_string(id); }

fs::path StateFolder::sockets(const VmId& id) const { return runtime_ / "vms" / to_string(id); }

base::Result<StateFolder::Lock> StateFolder::lock() const {
  TRY(make_folder(state_, kStateMode));
  TRY(make_folder(runtime_, kRuntimeMode));
  TRY(make_folder(state_ / "vms", kStateMode));
  TRY(make_folder(runtime_ / "vms", kRuntimeMode));
  // Two names, for somebody may have both folders in one place.
  TRY_ASSIGN(state, claim(state_, "lock"));
  TRY_ASSIGN(runtime, claim(runtime_, "runtime.lock"));
  return Lock{std::move(state), std::move(runtime)};
}

base::Result<void> StateFolder::prepare(const VmId& id) const {
  TRY(make_folder(vm(id), kStateMode));
  TRY(make_folder(sockets(id), kRuntimeMode));
  return sync_folder(state_ / "vms");
}

base::Result<void> StateFolder::remove(const VmId& id) const {
  for (const auto& folder : {sockets(id), vm(id)}) {
    std::error_code error;
    fs::remove_all(folder, error);
    if (error) {
      return fail_io("remove", folder, error.value());
    }
  }
  return sync_folder(state_ / "vms");
}

base::Result<bool> StateFolder::has_store(const VmId& id) const {
  struct stat found {};

  if (stat(store(id).c_str(), &found) == 0) {
    return true;
  }
  if (errno == ENOENT) {
    return false;
  }
  return fail_io("look for", store(id), errno);
}

}  // namespace vtpm::host

// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee_sim/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "vmgs/crypto/random.h"
#include "vmgs/storage/private_file.h"
#include "vmgs/storage/system_error.h"

namespace vtpm::tee_sim {

namespace {

constexpr std::size_t kMostBytes = 64 * 1024;
constexpr std::size_t kSecretBytes = 32;

// The name of the secret's file.
constexpr const char* kSecretFile = "secret";

// One half of a machine is not a new machine: it was sealed for, and the other half is lost.
tl::unexpected<base::Error> half_a_machine(const std::filesystem::path& folder, const char* there,
                                           const char* missing) {
  return base::fail(base::ErrorCode::kCorrupt,
                    folder.string() + " has " + there + ", but no " + missing +
                        ": bring it back. With another one nothing that this machine sealed opens "
                        "again; to give that up, remove the folder");
}

bool is_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::symlink_status(file, ignored));
}

base::SecretBytes copy_of(base::ByteView bytes) {
  base::SecretBytes copy(bytes.size());
  std::ranges::copy(bytes, copy.fill().begin());
  return copy;
}

}  // namespace

base::Result<MachineFolder> MachineFolder::open(std::filesystem::path path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail(vmgs::storage::system_error(errno, "cannot make " + path.string()));
  }
  return MachineFolder(std::move(path));
}

base::Result<base::SecretBytes> MachineFolder::get_or_make(
    const std::string& name, const std::function<base::Result<base::SecretBytes>()>& make) const {
  const auto file = path_ / name;
  const auto read = [&] {
    return vmgs::storage::read_private_file(file, vmgs::storage::OtherReaders::kNone, kMostBytes);
  };
  auto found = read();
  if (found || found.error().code != base::ErrorCode::kNotFound) {
    return found;
  }
  TRY_ASSIGN(made, make());
  const auto created = vmgs::storage::create_private_file(file, made.expose());
  if (!created && created.error().code != base::ErrorCode::kDenied) {
    return base::fail(created.error());
  }
  // Denied: another process was faster, and what it made counts.
  return read();
}

base::Result<base::Descriptor> MachineFolder::lock() const {
  base::Descriptor folder(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open() || ::flock(folder.number(), LOCK_EX) != 0) {
    return base::fail(vmgs::storage::system_error(errno, "cannot lock " + path_.string()));
  }
  return folder;
}

base::Result<base::Secret<32>> MachineFolder::secret() const {
  TRY_ASSIGN(bytes, get_or_make(kSecretFile, [&]() -> base::Result<base::SecretBytes> {
               if (is_there(path_ / kMachineFile)) {
                 return half_a_machine(path_, kMachineFile, "secret");
               }
               base::SecretBytes fresh(kSecretBytes);
               TRY(vmgs::crypto::random_bytes(fresh.fill()));
               return fresh;
             }));
  if (bytes.size() != kSecretBytes) {
    return base::fail(base::ErrorCode::kCorrupt,
                      (path_ / kSecretFile).string() + " has " + std::to_string(bytes.size()) +
                          " bytes, expected 32; with another secret nothing that this machine "
                          "sealed opens again");
  }
  return base::Secret<32>::copy_of(bytes.expose().first<kSecretBytes>());
}

base::Result<Machine> MachineFolder::machine(
    const std::function<base::Result<Machine>()>& new_machine) const {
  // Nobody sees one file without the other while both are being made.
  TRY_ASSIGN(alone, lock());
  TRY_ASSIGN(text, get_or_make(kMachineFile, [&]() -> base::Result<base::SecretBytes> {
               if (is_there(path_ / kSecretFile)) {
                 return half_a_machine(path_, kSecretFile, kMachineFile);
               }
               TRY_ASSIGN(fresh, new_machine());
               TRY(secret());
               return copy_of(base::bytes_of(to_json(fresh)));
             }));
  const auto bytes = text.expose();
  auto machine = parse_machine({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!machine) {
    return base::fail(std::move(machine).error().context((path_ / kMachineFile).string()));
  }
  return machine;
}

}  // namespace vtpm::tee_sim

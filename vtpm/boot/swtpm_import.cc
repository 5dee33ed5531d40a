// SPDX-License-Identifier: Apache-2.0
#include "vtpm/boot/swtpm_import.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/log.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/folder.h"
#include "vmgs/storage/private_file.h"
#include "vtpm/boot/state_store.h"
#include "vtpm/engine/engine.h"
#include "vtpm/engine/memory_nv_store.h"

namespace vtpm::boot {

using base::ErrorCode;
using engine::BlobKind;

namespace {

// Far more than a TPM's state has: 177 KB of NV memory at most, and 64 KB of what is loaded.
constexpr std::size_t kMostStateBytes = std::size_t{1} << 20U;

// Version 2 or 1, lowest version 1, a header of 10 bytes: no store of ours begins so.
constexpr std::size_t kHeadBytes = 4;

tl::unexpected<base::Error> refused(const std::filesystem::path& file) {
  return base::fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
                    file.string() + ": " + std::generic_category().message(errno));
}

// The whole of a file, or its first bytes. kNotFound, kIo; kCorrupt for what is no file or longer
// than it may be.
base::Result<base::SecretBytes> read_file(const std::filesystem::path& file, std::size_t most,
                                          bool first_only = false) {
  const base::Descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));

  struct stat found {};

  if (!opened.is_open() || ::fstat(opened.number(), &found) != 0) {
    return refused(file);
  }
  const bool is_file = S_ISREG(found.st_mode) || (first_only && S_ISBLK(found.st_mode));
  const auto size = static_cast<std::uint64_t>(found.st_size);
  if (!is_file || (!first_only && size > most)) {
    return base::fail(ErrorCode::kCorrupt, file.string() + ": this is no file of a TPM's state");
  }
  base::SecretBytes bytes(first_only ? most : static_cast<std::size_t>(size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto count =
        ::read(opened.number(), bytes.fill().subspan(done).data(), bytes.size() - done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return refused(file);
    }
    if (count == 0) {
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  if (done == bytes.size()) {
    return bytes;
  }
  base::SecretBytes shorter(done);
  std::copy_n(bytes.expose().begin(), done, shorter.fill().begin());
  return shorter;
}

base::Result<base::SecretBytes> open_file(const std::filesystem::path& file,
                                          const vmgs::format::SwtpmKey* key, bool& was_encrypted) {
  TRY_ASSIGN(content, read_file(file, kMostStateBytes));
  auto opened = vmgs::format::open_swtpm_blob(content.expose(), {.file = key});
  if (!opened) {
    auto error = std::move(opened).error();
    // All three are the same to whoever starts a TPM: this key does not open it.
    if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kInvalidArgument) {
      error.code = ErrorCode::kAuthentication;
    }
    return base::fail(std::move(error).context(file.string()));
  }
  // swtpm, too, takes nothing that is in the clear where it was given a key: whoever put that here
  // could read and make all of it.
  if (key != nullptr && !opened->under_file_key) {
    return base::fail(ErrorCode::kAuthentication,
                      file.string() +
                          ": a key was given, and this TPM state is not encrypted; "
                          "start it without the key if that is as it should be");
  }
  was_encrypted = opened->under_file_key;
  return std::move(opened->state);
}

base::Result<void> rename_durably(const std::filesystem::path& from,
                                  const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return refused(from);
  }
  return vmgs::storage::sync_folder_of(to);
}

base::Result<void> remove_if_there(const std::filesystem::path& file) {
  return ::unlink(file.c_str()) == 0 || errno == ENOENT ? base::Result<void>() : refused(file);
}

// An earlier original that was kept is not lost to a later one.
std::filesystem::path free_name(const std::filesystem::path& wanted) {
  auto name = wanted;

  struct stat found {};

  for (int number = 1; ::lstat(name.c_str(), &found) == 0; ++number) {
    name = wanted;
    name += "." + std::to_string(number);
  }
  return name;
}

base::Result<std::string> digest_of_file(const std::filesystem::path& file) {
  constexpr std::size_t kMostStoreBytes = std::size_t{64} << 20U;
  TRY_ASSIGN(content, read_file(file, kMostStoreBytes));
  return base::to_hex(vmgs::crypto::sha256(content.expose()));
}

base::Result<void> make_store(const std::filesystem::path& path, const SwtpmState& state,
                              StoreSettings settings, Protector& protector) {
  settings.path = path;
  settings.imported = true;
  TRY_ASSIGN(store, StateStore::create(std::move(settings), protector, state.permanent.expose()));
  if (state.volatile_state) {
    TRY(store->store(BlobKind::kVolatile, state.volatile_state->expose()));
  }
  return store->close();
}

// Whoever has run swtpm on these files is to run with ours, and root may have imported them.
base::Result<void> give_owner_of(const std::filesystem::path& from,
                                 const std::filesystem::path& to) {
  struct stat owned {};

  if (::stat(from.c_str(), &owned) != 0) {
    return refused(from);
  }
  return owned.st_uid == ::geteuid() || ::chown(to.c_str(), owned.st_uid, owned.st_gid) == 0
             ? base::Result<void>()
             : refused(to);
}

}  // namespace

base::Result<StateOwner> owner_of(const std::filesystem::path& file) {
  auto head = read_file(file, kHeadBytes, true);
  if (!head && head.error().code == ErrorCode::kNotFound) {
    return StateOwner::kNobody;
  }
  if (!head) {
    return base::fail(std::move(head).error());
  }
  const auto bytes = head->expose();
  if (bytes.empty()) {
    return StateOwner::kNobody;
  }
  const bool is_swtpm =
      bytes.size() == kHeadBytes && (bytes[0] == std::byte{1} || bytes[0] == std::byte{2}) &&
      bytes[1] == std::byte{1} && bytes[2] == std::byte{0} && bytes[3] == std::byte{10};
  return is_swtpm ? StateOwner::kSwtpm : StateOwner::kOurs;
}

base::Result<SwtpmState> read_swtpm_state(const SwtpmFolder& folder,
                                          const vmgs::format::SwtpmKey* key) {
  SwtpmState state;
  TRY_ASSIGN(permanent, open_file(folder.store(), key, state.was_encrypted));
  state.permanent = std::move(permanent);
  bool volatile_encrypted = false;
  auto found = open_file(folder.volatile_state(), key, volatile_encrypted);
  if (!found && found.error().code != ErrorCode::kNotFound) {
    return base::fail(std::move(found).error());
  }
  if (found) {
    state.volatile_state = *std::move(found);
  }
  return state;
}

base::Result<void> expect_starts(const SwtpmState& state) {
  engine::MemoryNvStore memory;
  TRY(memory.store(BlobKind::kPermanent, state.permanent.expose()));
  if (state.volatile_state) {
    TRY(memory.store(BlobKind::kVolatile, state.volatile_state->expose()));
  }
  TRY_ASSIGN(engine, engine::Engine::create(memory));
  return engine->start(engine::Origin::kExisting);
}

base::Result<void> import_swtpm_state(const SwtpmFolder& folder, const SwtpmState& state,
                                      StoreSettings settings, Protector& protector) {
  auto importing = folder.store();
  importing += ".importing";
  TRY(remove_if_there(importing));
  TRY(make_store(importing, state, std::move(settings), protector));
  TRY(give_owner_of(folder.store(), importing));
  TRY_ASSIGN(digest, digest_of_file(importing));
  TRY(remove_if_there(folder.imported()));
  TRY(vmgs::storage::create_private_file(folder.imported(), base::bytes_of(digest)));

  // A second name first, so that swtpm's file is there under one of the two at every moment.
  const auto kept = free_name(folder.kept_permanent());
  if (::link(folder.store().c_str(), kept.c_str()) != 0) {
    return refused(kept);
  }
  TRY(rename_durably(importing, folder.store()));
  if (state.volatile_state) {
    TRY(rename_durably(folder.volatile_state(), free_name(folder.kept_volatile())));
  }
  base::log(base::LogLevel::kInfo, "the TPM that swtpm kept in " + folder.path.string() +
                                       " was imported; its files stay there as " +
                                       kept.filename().string());
  return {};
}

base::Result<void> undo_import(const SwtpmFolder& folder) {
  auto noted = read_file(folder.imported(), 64);

  struct stat kept {};

  if (!noted || ::lstat(folder.kept_permanent().c_str(), &kept) != 0) {
    return base::fail(ErrorCode::kNotFound,
                      folder.path.string() + ": nothing of swtpm's was imported here");
  }
  TRY_ASSIGN(digest, digest_of_file(folder.store()));
  const auto expected = noted->expose();
  if (!std::equal(expected.begin(), expected.end(), base::bytes_of(digest).begin(),
                  base::bytes_of(digest).end())) {
    return base::fail(ErrorCode::kDenied,
                      folder.path.string() +
                          ": the TPM has been used since it was imported; what its guest has "
                          "sealed or counted since would be lost");
  }
  // The volatile state first: beside our store it says nothing, and it must not be missing beside
  // swtpm's file.
  if (::lstat(folder.kept_volatile().c_str(), &kept) == 0) {
    TRY(rename_durably(folder.kept_volatile(), folder.volatile_state()));
  }
  TRY(rename_durably(folder.kept_permanent(), folder.store()));
  return remove_if_there(folder.imported());
}

}  // namespace vtpm::boot

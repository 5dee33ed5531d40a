// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/drop_in_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "tools/swtpm/key_option.h"
#include "vmgs/base/log.h"
#include "vtpm/boot/manufacture.h"
#include "vtpm/boot/swtpm_import.h"

namespace tools::swtpm {

using base::ErrorCode;
using vtpm::boot::StateOwner;
using vtpm::boot::StateStore;
using vtpm::engine::BlobKind;

namespace {

// LOCK_STORAGE says how often to try, and its protocol how far apart.
constexpr auto kBetweenTries = std::chrono::milliseconds(10);

base::Result<std::unique_ptr<vtpm::boot::Protector>> protector_for(
    const vmgs::format::SwtpmKey* key) {
  if (key == nullptr) {
    return vtpm::boot::no_protector();
  }
  TRY_ASSIGN(store_key, store_key_of(*key));
  return vtpm::boot::given_key_protector(std::move(store_key));
}

base::Result<vmgs::crypto::Sha256Digest> digest_of(StateStore& store) {
  TRY_ASSIGN(permanent, store.load(BlobKind::kPermanent));
  return vmgs::crypto::sha256(permanent ? permanent->expose() : base::ByteView());
}

}  // namespace

base::Result<std::unique_ptr<DropInStore>> DropInStore::prepare(StatePlace place,
                                                                const vmgs::format::SwtpmKey* key) {
  TRY_ASSIGN(protector, protector_for(key));
  std::unique_ptr<DropInStore> store(new DropInStore(std::move(place), key, std::move(protector)));
  // What cannot be looked at is told by the first power-on, as swtpm does.
  const auto owner = store->place_.owner();
  if (owner && *owner == StateOwner::kNobody) {
    TRY_ASSIGN(made, vtpm::boot::manufacture());
    store->new_tpm_ = std::move(made);
  }
  return store;
}

vtpm::boot::StoreSettings DropInStore::settings() const {
  vtpm::boot::StoreSettings settings{.path = place_.store};
  // Tools that move a TPM as a volume, and swtpm's backend for one file, know no packaging.
  settings.new_kind = vmgs::storage::ContainerKind::kRawFile;
  settings.imported = imported_;
  return settings;
}

base::Result<void> DropInStore::open_store() {
  TRY_ASSIGN(opened, StateStore::open(settings(), *protector_));
  store_ = std::move(opened);
  return {};
}

base::Result<void> DropInStore::make_store(base::ByteView permanent) {
  TRY_ASSIGN(made, StateStore::create(settings(), *protector_, permanent));
  store_ = std::move(made);
  if (place_.mode && ::chmod(place_.store.c_str(), *place_.mode) != 0) {
    base::log(base::LogLevel::kWarning, place_.store.string() + ": its mode cannot be set: " +
                                            std::generic_category().message(errno));
  }
  if (key_ == nullptr) {
    base::log(base::LogLevel::kInfo,
              "no --key was given: the TPM's state is kept in the clear, as swtpm does by default");
  }
  return {};
}

base::Result<void> DropInStore::lock_folder() {
  if (place_.folder && !folder_lock_) {
    TRY_ASSIGN(taken, vtpm::boot::SwtpmLock::take(*place_.folder));
    folder_lock_.emplace(std::move(taken));
  }
  return {};
}

base::Result<void> DropInStore::open_place() {
  TRY(lock_folder());
  TRY_ASSIGN(owner, place_.owner());
  if (owner == StateOwner::kSwtpm) {
    if (!place_.folder) {
      return base::fail(ErrorCode::kDenied,
                        place_.store.string() + " holds what swtpm keeps in a folder");
    }
    TRY_ASSIGN(state, vtpm::boot::read_swtpm_state(*place_.folder, key_));
    TRY(vtpm::boot::import_swtpm_state(*place_.folder, state, settings(), *protector_));
    return open_store();
  }
  auto opened = open_store();
  const bool is_new = owner == StateOwner::kNobody && new_tpm_;
  if (opened || opened.error().code != ErrorCode::kNotFound || !is_new) {
    return opened;
  }
  auto made = make_store(new_tpm_->expose());
  // Of a store that is there, why it does not open says more than that none can be made.
  if (!made && made.error().code == ErrorCode::kDenied) {
    return opened;
  }
  if (made) {
    new_tpm_.reset();
  }
  return made;
}

bool DropInStore::was_removed() const {
  return ::faccessat(AT_FDCWD, place_.store.c_str(), F_OK, AT_EACCESS) != 0 && errno == ENOENT;
}

// What is there must be there for the next start, too.
base::Result<void> DropInStore::expect_accessible() const {
  return ::faccessat(AT_FDCWD, place_.store.c_str(), R_OK | W_OK, AT_EACCESS) == 0
             ? base::Result<void>()
             : base::fail(ErrorCode::kIo,
                          place_.store.string() + ": " + std::generic_category().message(errno));
}

base::Result<std::optional<base::SecretBytes>> DropInStore::load(BlobKind kind) {
  const std::lock_guard lock(busy_);
  if (closed_) {
    return base::fail(ErrorCode::kDenied, "the store was closed");
  }
  TRY(take(0));
  if (!store_ && kind == BlobKind::kPermanent) {
    if (auto opened = open_place(); !opened) {
      folder_lock_.reset();
      return base::fail(std::move(opened).error());
    }
  }
  if (!store_) {
    return std::optional<base::SecretBytes>();
  }
  if (kind == BlobKind::kPermanent) {
    TRY(expect_accessible());
  }
  return store_->load(kind);
}

// A TPM arrives where swtpm has kept one: that one is replaced, as swtpm itself would.
base::Result<void> DropInStore::put_aside_what_is_swtpms() {
  if (!place_.folder) {
    return base::fail(ErrorCode::kDenied, place_.store.string() + " is in swtpm's own form");
  }
  const auto aside = place_.folder->kept_permanent();
  if (::rename(place_.store.c_str(), aside.c_str()) != 0) {
    return base::fail(ErrorCode::kIo,
                      aside.string() + ": " + std::generic_category().message(errno));
  }
  ::unlink(place_.folder->imported().c_str());
  return {};
}

base::Result<void> DropInStore::store_where_none_is_open(base::ByteView permanent) {
  TRY(lock_folder());
  TRY_ASSIGN(owner, place_.owner());
  if (owner == StateOwner::kSwtpm) {
    TRY(put_aside_what_is_swtpms());
  }
  auto opened = open_store();
  if (!opened && opened.error().code == ErrorCode::kNotFound) {
    auto made = make_store(permanent);
    return !made && made.error().code == ErrorCode::kDenied ? opened : made;
  }
  TRY(std::move(opened));
  return store_->store(BlobKind::kPermanent, permanent);
}

base::Result<void> DropInStore::store(BlobKind kind, base::ByteView blob) {
  const std::lock_guard lock(busy_);
  if (closed_) {
    return base::fail(ErrorCode::kDenied, "the store was closed");
  }
  TRY(take(0));
  if (store_ && kind == BlobKind::kPermanent && was_removed()) {
    base::log(base::LogLevel::kWarning,
              place_.store.string() + " was removed while in use; it is made anew");
    imported_ = store_->is_imported();
    store_.reset();
  }
  if (store_) {
    return store_->store(kind, blob);
  }
  if (kind != BlobKind::kPermanent) {
    return base::fail(ErrorCode::kDenied, "the permanent state has to arrive first");
  }
  auto stored = store_where_none_is_open(blob);
  if (!store_) {
    folder_lock_.reset();
  }
  return stored;
}

base::Result<void> DropInStore::remove(BlobKind kind) {
  const std::lock_guard lock(busy_);
  return store_ ? store_->remove(kind) : base::Result<void>();
}

base::Result<void> DropInStore::release() {
  const std::lock_guard lock(busy_);
  if (!store_ || closed_) {
    return {};
  }
  TRY_ASSIGN(digest, digest_of(*store_));
  TRY(store_->close());
  store_.reset();
  folder_lock_.reset();
  before_release_ = digest;
  released_ = true;
  return {};
}

base::Result<void> DropInStore::take_again(std::uint32_t retries) {
  const std::lock_guard lock(busy_);
  return take(retries);
}

base::Result<void> DropInStore::reserve() {
  const std::lock_guard lock(busy_);
  return lock_folder();
}

base::Result<void> DropInStore::take(std::uint32_t retries) {
  if (!released_) {
    return {};
  }
  const auto attempt = [this]() -> base::Result<void> {
    TRY(lock_folder());
    auto opened = open_store();
    if (!opened) {
      folder_lock_.reset();
    }
    return opened;
  };
  auto taken = attempt();
  while (!taken && taken.error().code == ErrorCode::kUnavailable && retries-- > 0) {
    std::this_thread::sleep_for(kBetweenTries);
    taken = attempt();
  }
  TRY(std::move(taken));
  const auto digest = digest_of(*store_);
  if (!digest || *digest != before_release_) {
    store_.reset();
    folder_lock_.reset();
    return base::fail(ErrorCode::kDenied,
                      place_.store.string() +
                          ": another process has used this TPM since it was handed over; the one "
                          "here is of the past and must not go on");
  }
  released_ = false;
  return {};
}

base::Result<void> DropInStore::close() {
  const std::lock_guard lock(busy_);
  closed_ = true;
  auto closed = store_ ? store_->close() : base::Result<void>();
  folder_lock_.reset();
  return closed;
}

}  // namespace tools::swtpm

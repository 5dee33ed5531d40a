// SPDX-License-Identifier: Apache-2.0
#include "vtpm/state/variable_flash.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vmgs/format/file_id.h"
#include "vmgs/format/uefi_flash.h"

namespace vtpm::state {

using base::ErrorCode;
using vmgs::format::expect_flash_size;

namespace {

constexpr std::byte kErased{0xff};

std::ptrdiff_t distance(std::uint64_t offset) { return static_cast<std::ptrdiff_t>(offset); }

}  // namespace

base::SecretBytes blank_flash(std::uint64_t bytes) {
  base::SecretBytes image(bytes);
  std::fill(image.fill().begin(), image.fill().end(), kErased);
  return image;
}

base::Result<base::SecretBytes> VariableFlash::load() const {
  if (store_ != nullptr && !store_->is_awaited()) {
    TRY_ASSIGN(stored, store_->load_flash());
    if (stored) {
      if (auto good = expect_flash_size(stored->size()); !good) {
        return base::fail(ErrorCode::kCorrupt,
                          describe(vmgs::format::FileId::kUefiFlash) + ": " + good.error().message);
      }
      return *std::move(stored);
    }
  }
  TRY_ASSIGN(first, first_());
  TRY(expect_flash_size(first.size()));
  return first;
}

base::Result<void> VariableFlash::open() {
  if (image_.size() > 0) {
    return {};
  }
  TRY_ASSIGN(loaded, load());
  image_ = std::move(loaded);
  if (store_ != nullptr && store_->is_awaited()) {
    written_ahead_.assign(image_.size(), false);
  }
  return {};
}

void VariableFlash::close(Clock::time_point now) {
  if (commit(now) && store_ != nullptr) {
    image_ = base::SecretBytes();
    written_ahead_.clear();
  }
}

void VariableFlash::read(std::uint64_t offset, std::span<std::byte> into) const {
  std::copy_n(image_.expose().begin() + distance(offset), into.size(), into.begin());
}

base::Result<void> VariableFlash::write(std::uint64_t offset, base::ByteView bytes,
                                        Clock::time_point now) {
  std::copy(bytes.begin(), bytes.end(), image_.fill().begin() + distance(offset));
  if (!written_ahead_.empty()) {
    std::fill_n(written_ahead_.begin() + distance(offset), bytes.size(), true);
  }
  if (store_ == nullptr || bytes.empty()) {
    return {};
  }
  if (unsaved_) {
    unsaved_->last = now;
  } else {
    unsaved_ = Unsaved{now, now};
  }
  return failure_ ? base::fail(*failure_) : base::Result<void>();
}

// The store is there now, and what was written before goes over what it holds.
base::Result<void> VariableFlash::arrive() {
  TRY_ASSIGN(stored, load());
  if (stored.size() != image_.size()) {
    return base::fail(ErrorCode::kDenied, "the variable flash that arrived has " +
                                              std::to_string(stored.size()) +
                                              " bytes, and the one that is in use here " +
                                              std::to_string(image_.size()));
  }
  const auto into = image_.fill();
  const auto held = stored.expose();
  for (std::size_t i = 0; i < into.size(); ++i) {
    into[i] = written_ahead_[i] ? into[i] : held[i];
  }
  written_ahead_.clear();
  return {};
}

base::Result<void> VariableFlash::commit(Clock::time_point now) {
  if (!unsaved_) {
    return {};
  }
  if (store_->is_awaited()) {
    retry_at_ = now + timing_.retry;
    return base::fail(ErrorCode::kUnavailable,
                      "the state of this VM is still to arrive, and its variables with it");
  }
  auto stored = written_ahead_.empty() ? base::Result<void>() : arrive();
  if (stored) {
    stored = store_->store_flash(image_.expose());
  }
  if (!stored) {
    failure_ = stored.error();
    retry_at_ = now + timing_.retry;
    return stored;
  }
  failure_.reset();
  retry_at_.reset();
  unsaved_.reset();
  return {};
}

std::optional<VariableFlash::Clock::time_point> VariableFlash::tend(Clock::time_point now) {
  const auto due = [&]() -> std::optional<Clock::time_point> {
    if (!unsaved_) {
      return std::nullopt;
    }
    return retry_at_.value_or(
        std::min(unsaved_->last + timing_.pause, unsaved_->first + timing_.at_most));
  };
  if (const auto at = due(); at && *at <= now) {
    // Whoever asks for durability is told how it went, and everybody by failure().
    (void)commit(now);
  }
  return due();
}

}  // namespace vtpm::state

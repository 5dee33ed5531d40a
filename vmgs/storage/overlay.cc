// SPDX-License-Identifier: Apache-2.0
#include "vmgs/storage/overlay.h"

#include <algorithm>

#include "vmgs/storage/range.h"

namespace vmgs::storage {

namespace {

constexpr std::uint64_t kChunkBytes = 4096;

// Calls step(chunk, offset in it, offset in the whole range, count) for each chunk of a range.
template <typename Step>
base::Result<void> for_each_chunk(std::uint64_t offset, std::uint64_t count, Step&& step) {
  for (std::uint64_t done = 0; done < count;) {
    const auto at = offset + done;
    const auto inside = at % kChunkBytes;
    const auto now = std::min(kChunkBytes - inside, count - done);
    TRY(step(at / kChunkBytes, static_cast<std::size_t>(inside), static_cast<std::size_t>(done),
             static_cast<std::size_t>(now)));
    done += now;
  }
  return {};
}

}  // namespace

base::Result<base::Bytes*> OverlayDevice::chunk(std::uint64_t number) {
  const auto [place, is_new] = chunks_.try_emplace(number);
  auto& bytes = place->second;
  if (is_new) {
    const auto begin = number * kChunkBytes;
    bytes.resize(static_cast<std::size_t>(std::min(kChunkBytes, size_bytes() - begin)));
    if (auto read = below_->read(begin, bytes); !read) {
      chunks_.erase(place);
      return base::fail(std::move(read).error());
    }
  }
  return &bytes;
}

base::Result<void> OverlayDevice::read(std::uint64_t offset, std::span<std::byte> out) {
  TRY(require_inside(offset, out.size(), size_bytes()));
  if (chunks_.empty()) {
    return below_->read(offset, out);
  }
  return for_each_chunk(offset, out.size(),
                        [&](std::uint64_t number, std::size_t inside, std::size_t done,
                            std::size_t now) -> base::Result<void> {
                          const auto part = out.subspan(done, now);
                          const auto found = chunks_.find(number);
                          if (found == chunks_.end()) {
                            return below_->read(offset + done, part);
                          }
                          std::ranges::copy(base::ByteView(found->second).subspan(inside, now),
                                            part.begin());
                          return {};
                        });
}

base::Result<void> OverlayDevice::write(std::uint64_t offset, base::ByteView bytes) {
  TRY(require_inside(offset, bytes.size(), size_bytes()));
  return for_each_chunk(offset, bytes.size(),
                        [&](std::uint64_t number, std::size_t inside, std::size_t done,
                            std::size_t now) -> base::Result<void> {
                          TRY_ASSIGN(below, chunk(number));
                          std::ranges::copy(bytes.subspan(done, now),
                                            below->begin() + static_cast<std::ptrdiff_t>(inside));
                          return {};
                        });
}

}  // namespace vmgs::storage

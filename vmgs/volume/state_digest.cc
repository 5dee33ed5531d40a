// SPDX-License-Identifier: Apache-2.0
#include "vmgs/volume/state_digest.h"

#include <algorithm>
#include <limits>

#include "vmgs/base/layout.h"
#include "vmgs/base/secret.h"
#include "vmgs/crypto/digest.h"

namespace vmgs::volume {

namespace {

using format::FileId;

constexpr std::string_view kLabel = "vtpm-anchor-1";
constexpr auto kAbsent = std::numeric_limits<std::uint64_t>::max();

// What is digested for one file.
struct FileStateLayout {
  base::U64Le size_bytes;
  std::array<std::byte, 12> nonce;
  std::array<std::byte, 16> tag;
  base::U32Le attributes;
  std::array<std::byte, 32> key;
  std::array<std::byte, 28> reserved;
};

static_assert(sizeof(FileStateLayout) == 100);

constexpr std::size_t kFiles = 62 - 3;
constexpr std::size_t kKeyOffset = offsetof(FileStateLayout, key);

// Writes over a buffer that holds keys, so that no copy of one is left elsewhere.
void write_file(std::span<std::byte, sizeof(FileStateLayout)> out,
                const std::optional<format::FileEntry>& entry,
                const format::ExtendedTable& extended, FileId id) {
  FileStateLayout state{};
  state.size_bytes = entry ? entry->valid_bytes : kAbsent;
  if (entry) {
    state.nonce = entry->nonce;
    state.tag = entry->tag;
    state.attributes = entry->attributes;
  }
  state.reserved = extended.digest(id);
  base::store(state, out);
  std::ranges::copy(extended.key(id).expose(), out.subspan<kKeyOffset, 32>().begin());
}

}  // namespace

StateDigest state_digest(const format::VmId& vm_id, std::uint64_t sequence,
                         const format::FileTable& table, const format::ExtendedTable& extended) {
  base::SecretBytes files(kFiles * sizeof(FileStateLayout));
  std::size_t at = 0;
  for (std::size_t i = 1; i <= 62; ++i) {
    const auto id = static_cast<FileId>(i);
    if (format::holds_protector(id)) {
      continue;
    }
    write_file(files.fill().subspan(at).first<sizeof(FileStateLayout)>(), table[id], extended, id);
    at += sizeof(FileStateLayout);
  }
  const base::U64Le counted(sequence);
  return crypto::sha256({base::bytes_of(kLabel), vm_id.bytes, base::view(counted), files.expose()});
}

base::Result<StateDigest> state_digest(const format::VmId& vm_id, const Volume& volume) {
  const auto& state = volume.current();
  if (!volume.encrypted() || volume.locked() || !state.table() || volume.edited()) {
    return base::fail(base::ErrorCode::kDenied,
                      "only an encrypted store that is open, and was written by an instance, has a "
                      "state digest");
  }
  return state_digest(vm_id, volume.commit_sequence(), *state.table(), state.extended());
}

}  // namespace vmgs::volume

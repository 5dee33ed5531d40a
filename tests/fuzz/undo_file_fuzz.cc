// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "vmgs/storage/memory.h"
#include "vmgs/storage/undo.h"

// The input is an undo file, behind one byte that says how long the changed file is. Whatever is
// read, undoing gives the original, or is refused and leaves the file as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace vmgs::storage;
  if (size < 1 || size > 64 * 1024) {
    return 0;
  }
  MemoryDevice file(base::Bytes(data[0] * std::size_t{16}, std::byte{0x5A}));
  MemoryDevice undo_file(base::copy_of(std::as_bytes(std::span(data + 1, size - 1))));
  const auto undo = read_undo_file(undo_file);
  if (!undo) {
    return 0;
  }
  const auto before = file.contents();
  const auto undone = apply_undo(file, *undo, undo_file, Unfinished::kUndo);
  if (undone ? vmgs::crypto::sha256(file.contents()) != undo->original_digest
             : file.contents() != before) {
    std::abort();
  }
  return 0;
}

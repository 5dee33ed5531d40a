// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vtpm/boot/swtpm_import.h"

namespace vtpm::boot {

// SwtpmLock holds the lock by which swtpm says that it has the TPM of a folder: who has it keeps
// swtpm out, and is kept out by it. It is one of the process (fcntl), which may hold one of a
// folder; it goes with this.
class SwtpmLock {
 public:
  // take() makes the lock's file where there is none. kUnavailable if another process has it, by
  // its id; kIo.
  static base::Result<SwtpmLock> take(const SwtpmFolder& folder);

  // expect_free() asks for it, and makes and takes nothing. kUnavailable if another process has it.
  static base::Result<void> expect_free(const SwtpmFolder& folder);

 private:
  explicit SwtpmLock(base::Descriptor file) : file_(std::move(file)) {}

  base::Descriptor file_;
};

}  // namespace vtpm::boot

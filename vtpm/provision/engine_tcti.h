// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tss2/tss2_tcti.h>

#include <cstdint>

#include "vmgs/base/bytes.h"
#include "vtpm/engine/engine.h"

namespace vtpm::provision {

// EngineTcti is the road from tpm2-tss to the TPM of this process: a TCTI (TCG TSS 2.0 TPM Command
// Transmission Interface) whose other end is an Engine. Commands run when their response is asked
// for, on the caller's thread and at locality 0. Timeouts and polling have no meaning here.
class EngineTcti {
 public:
  // `engine` outlives this.
  explicit EngineTcti(engine::Engine& engine);

  EngineTcti(const EngineTcti&) = delete;
  EngineTcti& operator=(const EngineTcti&) = delete;

  // context() is what tpm2-tss takes. It stays this object's; finalizing it does nothing.
  [[nodiscard]] TSS2_TCTI_CONTEXT* context();

 private:
  // What tpm2-tss sees: the table of functions, and behind it whose they are.
  struct Context {
    TSS2_TCTI_CONTEXT_COMMON_V1 functions;
    EngineTcti* tcti;
  };

  static EngineTcti& of(TSS2_TCTI_CONTEXT* context);
  static TSS2_RC transmit(TSS2_TCTI_CONTEXT* context, std::size_t size,
                          const std::uint8_t* command);
  static TSS2_RC receive(TSS2_TCTI_CONTEXT* context, std::size_t* size, std::uint8_t* response,
                         std::int32_t timeout);
  static void finalize(TSS2_TCTI_CONTEXT* context);
  static TSS2_RC cancel(TSS2_TCTI_CONTEXT* context);
  static TSS2_RC set_locality(TSS2_TCTI_CONTEXT* context, std::uint8_t locality);

  engine::Engine& engine_;
  Context context_;
  base::Bytes command_;   // transmitted and not yet run
  base::Bytes response_;  // of the command that ran, until it was taken
};

}  // namespace vtpm::provision

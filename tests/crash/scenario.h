// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/crash/store_state.h"
#include "vmgs/base/result.h"
#include "vmgs/storage/block_device.h"
#include "vmgs/volume/volume.h"

namespace tests::crash {

// Step is one thing done to a store, acknowledged when it returns success.
struct Step {
  std::string name;

  // Does it. The volume is absent before the first format; a step that formats puts one there.
  std::function<base::Result<void>(vmgs::storage::BlockDevice&,
                                   std::optional<vmgs::volume::Volume>&)>
      run;

  // A format is the one step that may lose what was acknowledged.
  bool formats = false;
};

// Scenario is a short history of one store whose every crash is looked at.
struct Scenario {
  std::string name;
  std::uint64_t store_blocks = 0;
  std::vector<Step> steps;
};

// How the files of a scenario are kept.
enum class Kind { kEncrypted, kPlaintext, kMixed };

// scenarios() is the list of histories: create, first write, rewrites over reused blocks,
// transactions, deletes, key rotation, clean close, edits by a tool (encrypting, decrypting, moving
// and shrinking among them), format over a store in use.
std::vector<Scenario> scenarios();

// random_step() draws a step for long runs.
Step random_step(Kind kind, std::uint64_t random);

// format_step() makes a store, with key number 1 unless it is plaintext.
Step format_step(Kind kind);

}  // namespace tests::crash

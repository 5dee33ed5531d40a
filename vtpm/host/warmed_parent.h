// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"

namespace vtpm::host {

// The warmed parent is a small process with one thread that has done once what every TPM would have
// to do, and forks an instance per VM. No TPM is alive in it (its children would draw the same
// random numbers) and no secret is in it: what an instance has to know, it learns over a link of
// its own. vtpmd starts it as `PROGRAM --warmed-parent`, so it is small and it is the real program
// or the simulator's, as the configuration says.

// The link to vtpmd has this number in the warmed parent.
inline constexpr int kParentLinkNumber = 3;

// What a new instance begins with.
struct ChildEnds {
  base::Descriptor link;       // to vtpmd; closed by it when it ends
  base::Descriptor control;    // listens for the hypervisor
  base::Descriptor data;       // listens for programs that speak TPM commands
  base::Descriptor variables;  // listens for the hypervisor's use of UEFI variables
  base::Descriptor lease;      // held, signed, for as long as the instance lives
  base::Descriptor door;       // listens for another vtpmd that finds the instance

  // In place of the last two: the way to the instance that this one takes the place of.
  base::Descriptor predecessor = {};
};

// run_warmed_parent() says that it is warm and forks on request until vtpmd closes the link, and
// then returns nothing. In each child it returns what the child begins with, and nothing of the
// parent's is left there. The process must have one thread. kInvalidArgument if it has more;
// kCorrupt if the link brings something else than requests; kIo.
base::Result<std::optional<ChildEnds>> run_warmed_parent(base::Descriptor link);

// WarmedParent is that process as vtpmd has it.
struct WarmedParent {
  pid_t pid;
  base::Descriptor link;
};

// start_warmed_parent() starts `program`, which inherits its standard streams and nothing else.
// kNotFound if it cannot be executed; kIo.
base::Result<WarmedParent> start_warmed_parent(const std::filesystem::path& program);

// await_warm() waits until a parent that was just started says that it is warm. kUnavailable, with
// how it ended, if it ends before, or says something else, or takes longer than `limit`: it is then
// killed and reaped.
base::Result<void> await_warm(const WarmedParent& parent, std::chrono::milliseconds limit);

// request_fork() asks for an instance over the link to the parent, and there the answer comes.
// kUnavailable if the parent is gone.
base::Result<void> request_fork(int link, std::uint64_t serial, const std::string& process_name,
                                const ChildEnds& ends);

}  // namespace vtpm::host

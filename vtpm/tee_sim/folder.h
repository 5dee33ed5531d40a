// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "vmgs/base/descriptor.h"
#include "vmgs/base/result.h"
#include "vmgs/base/secret.h"
#include "vtpm/tee_sim/machine.h"

namespace vtpm::tee_sim {

// MachineFolder is where a simulated machine keeps what real hardware has fused in: a secret, the
// keys of its vendor's certificates, and the description of the machine. Everything is made here at
// first use and nowhere else; files have mode 0600 and are never seen half written. Two processes
// that find nothing agree on what the first of them made.
class MachineFolder {
 public:
  // open() makes the folder, mode 0700, if it is not there.
  static base::Result<MachineFolder> open(std::filesystem::path path);

  // secret() is the random secret of this machine, from the file `secret`. kCorrupt where
  // machine.json is there without it.
  base::Result<base::Secret<32>> secret() const;

  // get_or_make() is the content of the file `name`, which `make` makes if there is none.
  base::Result<base::SecretBytes> get_or_make(
      const std::string& name, const std::function<base::Result<base::SecretBytes>()>& make) const;

  // machine() is the description in `machine.json`. A folder without anything gets
  // `new_machine`, and its secret; one with a secret alone is kCorrupt.
  base::Result<Machine> machine(const std::function<base::Result<Machine>()>& new_machine) const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit MachineFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] base::Result<base::Descriptor> lock() const;

  std::filesystem::path path_;
};

inline constexpr const char* kMachineFile = "machine.json";

}  // namespace vtpm::tee_sim

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tools::vmgs {

// is_vmgstool() tells whether a program that was started as `argv0` is to be the reference tool:
// its name, without folders, is "vmgstool".
bool is_vmgstool(const std::string& argv0);

// run_vmgstool() is the reference tool for whoever has scripts for that: its commands, options and
// legacy spellings, its exit codes (0 done, 1 error, 2 not encrypted or a wrong command line, 3
// empty, 4 file not allocated, 5 version 1, 6 encrypted by the VM's id, 7 encrypted, scheme
// unknown), and the line that `query-size` prints. `arguments` are those behind the program's name.
//
// Where the reference would destroy something without a word, this one refuses with exit code 1: an
// encrypted file is not replaced or deleted without the key. A store in use by a running VM is
// never written. What a change overwrites goes to an undo file, as with `vmgs`; --no-undo and
// --undo-file are options here too.
int run_vmgstool(std::vector<std::string> arguments);

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace tests::support {

// killed_before_change() runs `work` in a child process, which is killed where it is about to make
// its `n`th change of the file system, counted from 0: a file, a name, a content, or a sync of one.
// What a process that died there leaves is then to be looked at. False if it made no more than `n`
// changes and ended with success. It ends the test program if the child fails by itself, or cannot
// be traced.
bool killed_before_change(unsigned n, const std::function<bool()>& work);

}  // namespace tests::support

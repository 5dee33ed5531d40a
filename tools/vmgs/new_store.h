// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "vmgs/base/result.h"
#include "vmgs/storage/container.h"

namespace tools::vmgs {

// make_new_store() makes a file of that name, which must not exist, with whatever `fill` puts into
// it: under a temporary name until it is whole, so that neither a crash nor an error of `fill`
// leaves anything under its own. Errors of create_container() and of `fill`.
base::Result<::vmgs::storage::Container> make_new_store(
    const std::string& path, const ::vmgs::storage::CreateOptions& options,
    const std::function<base::Result<void>(::vmgs::storage::Container&)>& fill);

}  // namespace tools::vmgs

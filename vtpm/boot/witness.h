// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmgs/base/result.h"
#include "vmgs/format/record.h"

namespace vtpm::boot {

// Witness is who knows, outside the store, which state of it is the newest. A StateStore asks it
// after everything is open and before anything is written.
class Witness {
 public:
  virtual ~Witness() = default;

  // admit() judges the state that was opened, with the record in it, and gives the record that the
  // next commit carries. kDenied for a state that is not the newest; kNotFound for one that nobody
  // ever used, which may be set aside.
  virtual base::Result<vmgs::format::Record> admit(const vmgs::format::Anchor& opened,
                                                   vmgs::format::Record record) = 0;

  // admit_again() is the same for a store that is opened anew in the boot for which it was
  // admitted, as a commit has failed. `last` is the newest state of it that this boot has opened or
  // has seen stored: it must be there still, or what this boot alone can have made of it.
  virtual base::Result<vmgs::format::Record> admit_again(const vmgs::format::Anchor& last,
                                                         const vmgs::format::Anchor& opened,
                                                         const vmgs::format::Record& record) = 0;

  // begin() gives the first record of a store that is made now.
  virtual vmgs::format::Record begin(vmgs::format::Record record) = 0;
};

}  // namespace vtpm::boot

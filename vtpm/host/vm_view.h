// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "keybroker/protocol/vm_service.pb.h"
#include "vtpm/host/host.h"

namespace vtpm::host {

// view_of() is a VM as the service shows it.
strongroom::host::v1::Vm view_of(const Host& host, const Vm& vm);

// readiness_view_of() is the part of it about readiness.
strongroom::host::v1::Readiness readiness_view_of(const Host& host, const Vm& vm);

}  // namespace vtpm::host

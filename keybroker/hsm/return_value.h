// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace keybroker::hsm {

// return_value_name() is the name that PKCS#11 (2.40, section 3.6) gives to a CK_RV, such as
// "CKR_PIN_INCORRECT", and its number in hexadecimal if it has none.
std::string return_value_name(unsigned long value);

}  // namespace keybroker::hsm

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tools::cli {

// shows_colour() tells whether what is written to this descriptor may have colours: it is a
// terminal that has them (TERM is neither empty nor "dumb"), and nobody said no (NO_COLOR). With
// CLICOLOR_FORCE set to anything but 0 there may be colours anywhere.
bool shows_colour(int descriptor);

// printable() replaces control characters: whoever wrote a file does not write to the terminal of
// whoever looks at it.
std::string printable(std::string_view text);

}  // namespace tools::cli

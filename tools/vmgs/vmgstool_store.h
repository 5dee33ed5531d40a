// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "tools/vmgs/store.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/datastore_key.h"
#include "vmgs/volume/volume.h"

// What the commands of the vmgstool personality share.
namespace tools::vmgs::vmgstool {

// Exit codes that scripts rely on.
enum class Exit {
  kDone = 0,
  kError = 1,
  kNotEncrypted = 2,
  kEmpty = 3,
  kNotFound = 4,
  kVersion1 = 5,
  kGspById = 6,
  kGspUnknown = 7,
};

// name() is what the reference calls it, such as "ErrorNotFound".
std::string_view name(Exit exit);

// Failure is why a command did not do what it was asked.
struct Failure {
  Exit exit = Exit::kError;
  std::string message{};
};

template <typename T>
using Outcome = tl::expected<T, Failure>;

inline tl::unexpected<Failure> fail(Exit exit, std::string message) {
  return tl::unexpected<Failure>(Failure{exit, std::move(message)});
}

// What to do about a store that is encrypted and no key given.
enum class Locked { kAllowed, kRefused };

// check_file() finds out what the reference finds out before it looks at packaging or headers:
// kEmpty, kVersion1, kError for more than 4 GiB.
Outcome<void> check_file(const std::string& path);

// open() does the reference's checks in its order (empty, version 1, key), opens and unlocks. With
// a key for a store that is not encrypted it is kNotEncrypted.
Outcome<OpenStore> open(const std::string& path, const std::string& key_path,
                        ::vmgs::storage::Access access, Locked locked,
                        const std::optional<std::filesystem::path>& undo_file = std::nullopt);

// read_key() reads a file of exactly 32 bytes, whoever else may read it.
Outcome<::vmgs::volume::DatastoreKey> read_key(const std::string& path);

// parse_id() reads a number or a name.
Outcome<::vmgs::format::FileId> parse_id(const std::string& text);

// described() is "3 (TPM_NVRAM)", as the reference prints an id.
std::string described(::vmgs::format::FileId id);

// check_replaceable() refuses a name that anything but a regular file has: a device, or a link to
// somewhere else, would be gone when another file takes its place.
Outcome<void> check_replaceable(const std::string& path);

// name_beside() is a name in the same folder that nobody else uses.
Outcome<std::string> name_beside(const std::string& path);

// replace_file() gives the file `beside` the name `path`, durably, over a file that has it.
Outcome<void> replace_file(const std::string& beside, const std::string& path);

// write_private() makes a file of mode 0600, or replaces one: guest state holds secrets.
Outcome<void> write_private(const std::string& path, base::ByteView bytes);

// say() prints a line for people on stderr; print() an answer on stdout.
void say(const std::string& line);
Outcome<void> print(const std::string& text);

}  // namespace tools::vmgs::vmgstool

// TOOL_TRY and TOOL_TRY_ASSIGN are TRY and TRY_ASSIGN for an Outcome, and take a Result as well.
#define TOOL_TRY(step)                                          \
  if (auto try_result = (step); !try_result) {                  \
    return ::tools::vmgs::vmgstool::passed(try_result.error()); \
  }

#define TOOL_TRY_ASSIGN(name, step)                                \
  auto name##_result = (step);                                     \
  if (!name##_result) {                                            \
    return ::tools::vmgs::vmgstool::passed(name##_result.error()); \
  }                                                                \
  auto name = *std::move(name##_result)

namespace tools::vmgs::vmgstool {

// passed() hands a failure on; an error of ours is a kError.
inline tl::unexpected<Failure> passed(const Failure& failure) {
  return tl::unexpected<Failure>(failure);
}

inline tl::unexpected<Failure> passed(const base::Error& error) {
  return fail(Exit::kError, error.message);
}

}  // namespace tools::vmgs::vmgstool

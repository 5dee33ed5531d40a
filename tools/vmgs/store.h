// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/output.h"
#include "vmgs/base/result.h"
#include "vmgs/format/file_id.h"
#include "vmgs/storage/container.h"
#include "vmgs/volume/finding.h"
#include "vmgs/volume/volume.h"

namespace CLI {
class App;
}

namespace tools::vmgs {

// The arguments that name a store and its key.
struct StoreArguments {
  std::string path;
  std::string key;                 // empty: none
  std::uint32_t sector_bytes = 0;  // 0: find out
};

// add_store_arguments() declares FILE, --key and --sector-size. `arguments` must outlive `app`.
void add_store_arguments(CLI::App& app, StoreArguments& arguments);

// read_store_key() reads a datastore key as cli::read_key() does; after "swtpm:" it reads what
// swtpm's --key takes, and gives the key of a store that our swtpm keeps under that.
base::Result<::vmgs::volume::DatastoreKey> read_store_key(const std::string& from);

// An argument that names a file inside the store.
void add_file_id_argument(CLI::App& app, std::string& id);

// parse_content_id() refuses the two tables besides what parse_file_id() refuses.
base::Result<::vmgs::format::FileId> parse_content_id(const std::string& text);

// open_container() is that of vmgs/storage. With an undo file (undo_option.h) every change of the
// container can be undone.
base::Result<::vmgs::storage::Container> open_container(
    const StoreArguments& arguments, ::vmgs::storage::Access access,
    const std::optional<std::filesystem::path>& undo_file = std::nullopt);

// A store that is open, and unlocked if a key was given. The volume stands on the container.
struct OpenStore {
  ::vmgs::storage::Container container;
  ::vmgs::volume::Volume volume;
};

// Where what is written to a store goes.
enum class WritesGo {
  kToTheFile,
  kToMemory,  // and nowhere else: the store is open for reading, and changes are lost with it
};

// open_store() opens the container and the volume and, if there is a --key, unlocks it; findings of
// the opening that are more than notes are talked about. kDenied if a key is given for a store that
// calls itself unencrypted.
base::Result<OpenStore> open_store(
    const StoreArguments& arguments, ::vmgs::storage::Access access, const cli::Output& output,
    const std::optional<std::filesystem::path>& undo_file = std::nullopt,
    WritesGo writes_go = WritesGo::kToTheFile);

// name() is "note", "warning" or "error".
std::string_view name(::vmgs::volume::Severity severity);

// to_json() gives findings as an array of objects {code, severity, where, message}.
boost::json::array to_json(const std::vector<::vmgs::volume::Finding>& findings);

}  // namespace tools::vmgs

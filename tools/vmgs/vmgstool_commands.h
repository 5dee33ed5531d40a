// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tools/vmgs/undo_option.h"
#include "tools/vmgs/vmgstool_store.h"
#include "vmgs/volume/transaction.h"

// The commands of the vmgstool personality. Each does what the reference's command of that name
// does; run_vmgstool() says where it does not.
namespace tools::vmgs::vmgstool {

struct Arguments {
  std::string file_path;
  std::string key_path;
  std::string new_key_path;
  std::string data_path;
  std::string file_id;
  std::string source_id;
  std::string target_id;
  std::string output_path;
  std::string name;
  std::string vendor;
  std::string algorithm;
  std::uint64_t file_size = 0;
  std::string resource_code;
  bool force_create = false;
  bool allow_overwrite = false;
  bool raw_stdout = false;
  bool truncate = false;
  bool dry_run = false;
  UndoArguments undo;
};

// change() opens the store as open() does, to write unless it is a dry run, and makes the change.
// As with `vmgs`, what is overwritten goes to an undo file, which is given; the reference keeps
// none.
Outcome<std::optional<std::string>> change(const Arguments& arguments, Locked locked,
                                           const std::function<Outcome<void>(OpenStore&)>& make);

// commit() commits such a change, on a locked store too: check_without_key() says where not.
Outcome<void> commit(OpenStore& store, ::vmgs::volume::Transaction transaction,
                     const UndoArguments& undo);

Outcome<void> create(const Arguments& arguments);
Outcome<void> write(const Arguments& arguments);
Outcome<void> dump(const Arguments& arguments);
Outcome<void> query_size(const Arguments& arguments);
Outcome<void> move(const Arguments& arguments);
Outcome<void> remove(const Arguments& arguments);

Outcome<void> dump_headers(const Arguments& arguments);
Outcome<void> dump_file_table(const Arguments& arguments);

Outcome<void> update_key(const Arguments& arguments);
Outcome<void> encrypt(const Arguments& arguments);
Outcome<void> query_encryption(const Arguments& arguments);

Outcome<void> dump_variables(const Arguments& arguments);
Outcome<void> remove_boot_entries(const Arguments& arguments);
Outcome<void> remove_variable(const Arguments& arguments);

Outcome<void> copy_firmware(const Arguments& arguments);

}  // namespace tools::vmgs::vmgstool

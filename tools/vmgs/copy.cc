// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/vmgs/change.h"
#include "tools/vmgs/commands.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace storage = ::vmgs::storage;
namespace volume = ::vmgs::volume;

struct CopyArguments {
  ChangeArguments change;  // of the store that is copied into
  StoreArguments from;
  std::vector<std::string> ids;
  bool all = false;
  bool overwrite = false;
};

// With --all every file but the protectors: they open the store that they come from.
base::Result<std::vector<format::FileId>> chosen(const OpenStore& from,
                                                 const CopyArguments& arguments) {
  std::vector<format::FileId> ids;
  for (const auto& text : arguments.ids) {
    TRY_ASSIGN(id, parse_content_id(text));
    if (!from.volume.contains(id)) {
      return base::fail(base::ErrorCode::kNotFound,
                        format::describe(id) + " is not in " + arguments.from.path);
    }
    ids.push_back(id);
  }
  for (const auto& file : from.volume.files()) {
    if (arguments.all && !format::holds_protector(file.id)) {
      ids.push_back(file.id);
    }
  }
  return ids;
}

base::Result<void> copy_files(const OpenStore& from, OpenStore& to,
                              const std::vector<format::FileId>& ids, bool overwrite) {
  std::vector<base::SecretBytes> contents;
  for (const auto id : ids) {
    if (to.volume.contains(id) && !overwrite) {
      return base::fail(
          base::ErrorCode::kDenied,
          format::describe(id) + " exists already: say --overwrite if its content may be lost");
    }
    TRY_ASSIGN(content, from.volume.read(id));
    contents.push_back(std::move(content));
  }
  volume::Transaction transaction(volume::Sequence::kEdit, volume::Barriers::kTwo);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    transaction.put(ids[i], contents[i].expose(),
                    format::is_plaintext_by_role(ids[i]) ? volume::Protection::kPlaintext
                                                         : volume::Protection::kAsStore);
  }
  return to.volume.commit(transaction);
}

base::Result<cli::ExitStatus> copy(const CopyArguments& arguments, cli::Output& output) {
  if (arguments.ids.empty() != arguments.all) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "say which files are to be copied, or --all, and not both");
  }
  TRY_ASSIGN(from, open_store(arguments.from, storage::Access::kReadOnly, output));
  TRY_ASSIGN(ids, chosen(from, arguments));
  TRY_ASSIGN(changed, change_store(arguments.change, output, [&](OpenStore& to) {
               return copy_files(from, to, ids, arguments.overwrite);
             }));
  boost::json::array told;
  std::string text;
  for (const auto id : ids) {
    told.push_back(format::index(id));
    text += format::describe(id) + " comes from " + arguments.from.path + "\n";
  }
  TRY(answer_change(output, arguments.change, "strongroom.vmgs.copy/1",
                    {{"from", arguments.from.path}, {"ids", std::move(told)}}, changed,
                    std::move(text)));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command copy_command() {
  return {
      .name = "copy",
      .summary = "Copy files of another store into this one, in one commit",
      .set_up = [](CLI::App& app) -> cli::Action {
        auto arguments = std::make_shared<CopyArguments>();
        add_change_arguments(app, arguments->change, Writing::kOnApply);
        app.add_option("FROM", arguments->from.path, "The store that files come from")->required();
        app.add_option("ID", arguments->ids, "A file in it: a number, or a name");
        app.add_option("--from-key", arguments->from.key, "Datastore key of FROM, as --key")
            ->type_name("FROM");
        app.add_option("--from-sector-size", arguments->from.sector_bytes,
                       "Sector size that a raw FROM was formatted with")
            ->check(CLI::IsMember({512, 4096}));
        app.add_flag("--all", arguments->all,
                     "Every file of FROM but the protectors, which open FROM alone");
        app.add_flag("--overwrite", arguments->overwrite, "Replace files that are there");
        return [arguments](cli::Output& output) { return copy(*arguments, output); };
      }};
}

}  // namespace tools::vmgs

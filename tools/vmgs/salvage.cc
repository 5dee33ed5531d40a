// SPDX-License-Identifier: Apache-2.0
#include "vmgs/repair/salvage.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "tools/vmgs/commands.h"
#include "tools/vmgs/whole_file.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/storage/private_file.h"
#include "vmgs/storage/system_error.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace fs = std::filesystem;
namespace repair = ::vmgs::repair;

struct SalvageArguments {
  StoreArguments store;
  std::string folder;
};

base::Result<void> make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail(::vmgs::storage::system_error(errno, "cannot make " + path.string()));
  }
  return {};
}

std::string file_name(format::FileId id) {
  const auto known = format::name(id);
  return std::to_string(format::index(id)) + (known.empty() ? "" : "-" + std::string(known));
}

// Writes what is found, each under the table that led to it, and keeps the list.
class Folder {
 public:
  explicit Folder(fs::path path) : path_(std::move(path)) {}

  // A file that cannot be written is listed with the reason, and the others are still taken.
  void take(const repair::Salvaged& found) {
    const auto relative = fs::path(found.origin) / file_name(found.id);
    boost::json::object one = {
        {"id", format::index(found.id)},
        {"name", format::name(found.id)},
        {"path", relative.string()},
        {"size_bytes", found.content.size()},
        {"sha256", base::to_hex(::vmgs::crypto::sha256(found.content.expose()))},
        {"origin", found.origin},
        {"file_table_block", found.file_table_block},
        {"authentic", found.authentic}};
    if (const auto written = write(relative, found); !written) {
      one["error"] = written.error().message;
      failed_.push_back(std::move(one));
    } else {
      files_.push_back(std::move(one));
    }
  }

  [[nodiscard]] const boost::json::array& files() const { return files_; }

  // What was found and could not be written.
  [[nodiscard]] const boost::json::array& failed() const { return failed_; }

 private:
  [[nodiscard]] base::Result<void> write(const fs::path& relative,
                                         const repair::Salvaged& found) const {
    TRY(make_folder(path_ / found.origin));
    return ::vmgs::storage::create_private_file(path_ / relative, found.content.expose());
  }

  fs::path path_;
  boost::json::array files_;
  boost::json::array failed_;
};

boost::json::value to_json(const std::optional<repair::KeyFits>& fits) {
  return !fits || *fits == repair::KeyFits::kNoSlotIsLeft
             ? boost::json::value()
             : boost::json::value(*fits == repair::KeyFits::kYes);
}

// What is to be said of a key that has opened nothing.
std::string key_text(const std::optional<repair::KeyFits>& fits) {
  if (fits == repair::KeyFits::kNo) {
    return "the key opens no key slot that is left, so what is encrypted was not looked at: it is "
           "another store's key, or one from before a rekey. Give the one it is sealed under\n";
  }
  if (fits == repair::KeyFits::kNoSlotIsLeft) {
    return "no key slot is left in any header, so the key could open nothing\n";
  }
  return {};
}

base::Result<cli::ExitStatus> run(const SalvageArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(key, read_key_of(arguments.store));
  TRY_ASSIGN(file, open_whole_file(arguments.store, /*to_change=*/false, {}));
  std::error_code ignored;
  if (fs::exists(arguments.folder, ignored) && !fs::is_empty(arguments.folder, ignored)) {
    return base::fail(base::ErrorCode::kDenied,
                      arguments.folder + " is not empty, and nothing in it is overwritten");
  }
  TRY(make_folder(arguments.folder));
  std::optional<repair::KeyFits> fits;
  if (key) {
    TRY_ASSIGN(found, repair::key_fits(*file.device, *key));
    fits = found;
  }
  Folder folder(arguments.folder);
  TRY_ASSIGN(searched, repair::salvage(*file.device, key ? &*key : nullptr,
                                       [&folder](const repair::Salvaged& found) {
                                         folder.take(found);
                                         return base::Result<void>();
                                       }));
  const bool complete = searched == repair::Searched::kAll;
  boost::json::object manifest = {{"schema", "strongroom.vmgs.salvage/1"},
                                  {"file", arguments.store.path},
                                  {"with_key", key.has_value()},
                                  {"key_fits", to_json(fits)},
                                  {"complete", complete},
                                  {"files", folder.files()},
                                  {"failed", folder.failed()}};
  TRY(::vmgs::storage::create_private_file(
      fs::path(arguments.folder) / "manifest.json",
      base::bytes_of(boost::json::serialize(manifest) + "\n")));
  if (output.json()) {
    manifest.erase("schema");
    TRY(output.document("strongroom.vmgs.salvage/1", std::move(manifest)));
  } else {
    std::string text;
    for (const auto& one : folder.files()) {
      text += std::string(one.at("authentic").as_bool() ? "authentic  " : "unproven   ") +
              std::string(one.at("path").as_string()) + "\n";
    }
    for (const auto& one : folder.failed()) {
      text += "not written " + std::string(one.at("path").as_string()) + ": " +
              std::string(one.at("error").as_string()) + "\n";
    }
    if (!complete) {
      text +=
          "the search ended early: more file tables lead to the same blocks than a store of this "
          "length can have had\n";
    }
    text += key_text(fits);
    text += std::to_string(folder.files().size()) + " files were found; manifest.json lists them\n";
    TRY(output.text(text));
  }
  if (fits == repair::KeyFits::kNo) {
    return cli::ExitStatus::kIntegrity;
  }
  if (!folder.failed().empty()) {
    return cli::ExitStatus::kFoundProblem;
  }
  return folder.files().empty() ? cli::ExitStatus::kNotFound : cli::ExitStatus::kDone;
}

}  // namespace

cli::Command salvage_command() {
  return {.name = "salvage",
          .summary = "Get out of a damaged store whatever can still be read, changing nothing",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<SalvageArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("FOLDER", arguments->folder,
                           "Where the files and manifest.json go: new, or empty")
                ->required();
            return [arguments](cli::Output& output) { return run(*arguments, output); };
          }};
}

}  // namespace tools::vmgs

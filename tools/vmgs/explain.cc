// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/array.hpp>
#include <filesystem>
#include <memory>
#include <utility>

#include "tools/cli/terminal.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/file_holders.h"
#include "tools/vmgs/surveyed_store.h"
#include "vmgs/inspect/explanation.h"
#include "vmgs/repair/plan.h"
#include "vmgs/storage/file.h"

namespace tools::vmgs {

namespace {

namespace fs = std::filesystem;
namespace inspect = ::vmgs::inspect;
namespace repair = ::vmgs::repair;
namespace storage = ::vmgs::storage;
using base::ErrorCode;
using inspect::Explanation;
using inspect::FileKind;
using inspect::Verdict;

// As a shell takes it.
std::string quoted(const std::string& path) {
  const bool is_plain = !path.empty() && std::all_of(path.begin(), path.end(), [](char each) {
    return std::isalnum(static_cast<unsigned char>(each)) != 0 || each == '/' || each == '.' ||
           each == '_' || each == '-' || each == '+';
  });
  if (is_plain) {
    return path;
  }
  std::string text = "'";
  for (const char each : cli::printable(path)) {
    text += each == '\'' ? std::string("'\\''") : std::string(1, each);
  }
  return text + "'";
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) {
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

// Files in a folder that somebody may have meant.
Explanation explain_folder(const fs::path& folder) {
  Explanation told;
  told.verdict = Verdict::kNotAStore;
  told.what = "a folder";
  told.why.emplace_back("a store is a file or a block device");
  std::error_code ended;
  for (fs::directory_iterator each(folder, ended), end; !ended && each != end;
       each.increment(ended)) {
    const auto& path = each->path();
    if (path.extension() == ".vmgs") {
      told.next.push_back("`vmgs explain " + quoted(path.string()) + "`");
    } else if (path.filename() == "tpm2-00.permall") {
      told.what = "the state folder of swtpm";
      told.next.emplace_back(
          "`vtpmctl adopt` takes swtpm's TPM out of this folder into a store, with its keys and "
          "seeds; `swtpm` of this package serves it as it is");
    }
  }
  if (told.next.empty()) {
    told.next.emplace_back("Name the file in it that is the VM's guest state");
  }
  return told;
}

// Why the file cannot even be looked at.
Explanation explain_unreachable(const std::string& path, const base::Error& error) {
  Explanation told;
  told.verdict = Verdict::kOutOfReach;
  told.what = "a file that cannot be read";
  told.why.push_back(error.message);
  switch (error.code) {
    case ErrorCode::kUnavailable: {
      told.what = "a file that is in use";
      const auto holders = file_holders(path);
      if (!holders.empty()) {
        told.why.push_back("it is open in " + joined(holders));
      }
      told.next.emplace_back(
          "Nothing is wrong with that: a running VM's store is not touched. `vtpmctl list` "
          "shows the VMs of this host, `vtpmctl stop VM` stops one in order");
      if (holders.empty()) {
        told.next.push_back("`sudo fuser -v " + quoted(path) + "` shows who has it open");
      }
      break;
    }
    case ErrorCode::kNotFound:
      told.what = "no file";
      told.next.emplace_back(
          "Look for it under another name (`find / -xdev -name '*.vmgs'`); "
          "`vmgs create NEW` makes a new store, and with it a new TPM");
      break;
    case ErrorCode::kDenied:
      told.next.push_back("Look at whose it is, `ls -l " + quoted(path) +
                          "`, and run this as its owner or as root");
      break;
    case ErrorCode::kInvalidArgument:
      told.verdict = Verdict::kNotAStore;
      told.what = "no file and no block device";
      told.next.emplace_back("Name the file that is the VM's guest state");
      break;
    default:
      told.next.emplace_back(
          "Look for errors of the disk in the kernel's log (`dmesg`), and copy "
          "what can be read (`ddrescue`) before anything else");
      break;
  }
  return told;
}

// Its packaging keeps the store inside from being looked at.
Explanation explain_container(const std::string& file, FileKind kind, const base::Error& error) {
  if (kind != FileKind::kStore) {
    auto told = inspect::explain_file(kind, file);
    if (kind == FileKind::kUnknown) {
      told.why.push_back(error.message);
    }
    return told;
  }
  Explanation told;
  told.verdict = Verdict::kDamaged;
  told.what = "a guest-state store whose file is not whole";
  told.why.push_back(error.message);
  told.next.push_back("Work on a copy: `cp --sparse=never " + file + " COPY`");
  told.next.push_back(
      "`vmgs repair " + file +
      "` says whether its length or its VHD footer can be put right; `vmgs salvage " + file +
      " FOLDER` pulls out what authenticates");
  return told;
}

struct Explained {
  Explanation explanation;
  std::optional<inspect::Provenance> provenance;
};

base::Result<Explained> explain_contents(const StoreArguments& arguments, FileKind kind,
                                         base::ByteView beginning) {
  const auto file = quoted(arguments.path);
  auto store = survey_store(arguments);
  if (!store && store.error().code == ErrorCode::kNotFound) {
    auto told = inspect::explain_file(FileKind::kZeros, file);
    if (!base::is_all_zero(beginning)) {
      told.why.emplace_back(
          "behind the place of the headers something is written: if this was a store, its "
          "beginning was overwritten with zeros");
      told.next.push_back("`vmgs salvage " + file + " FOLDER --key KEY` looks for what is left");
    }
    return Explained{std::move(told), std::nullopt};
  }
  if (!store) {
    const bool is_version_1 = kind == FileKind::kVersion1;
    return Explained{is_version_1 ? inspect::explain_file(kind, file)
                                  : explain_container(file, kind, store.error()),
                     std::nullopt};
  }
  const bool has_header = store->survey.sides[0].generation || store->survey.sides[1].generation;
  if (!has_header && kind != FileKind::kStore &&
      store->container.kind != storage::ContainerKind::kFixedVhd) {
    return Explained{inspect::explain_file(kind, file), std::nullopt};
  }
  const auto& container = store->container;
  TRY_ASSIGN(findings,
             repair::examine_whole(
                 *container.whole,
                 {.is_block_device = container.kind == storage::ContainerKind::kBlockDevice,
                  .sector_bytes = container.file->sector_bytes(),
                  .spacing = container.spacing},
                 store->key ? &*store->key : nullptr));
  const repair::Examination examination{std::move(findings)};
  auto told = inspect::explain_store(*container.device,
                                     {file, store->survey, store->provenance, examination});
  std::error_code absent;
  if (told.verdict == Verdict::kNeedsKey && fs::exists(arguments.path + ".key", absent)) {
    told.next.insert(told.next.begin(), "A key file lies beside it: `vmgs explain " + file +
                                            " --key " + quoted(arguments.path + ".key") + "`");
  }
  return Explained{std::move(told), store->provenance};
}

base::Result<Explained> explain_path(const StoreArguments& arguments) {
  std::error_code failed;
  if (fs::is_directory(arguments.path, failed)) {
    return Explained{explain_folder(arguments.path), std::nullopt};
  }
  auto opened = storage::FileDevice::open(arguments.path, storage::Access::kReadOnly);
  if (!opened) {
    return Explained{explain_unreachable(arguments.path, opened.error()), std::nullopt};
  }
  base::Bytes beginning(static_cast<std::size_t>(
      std::min<std::uint64_t>((*opened)->size_bytes(), inspect::kMostRecognisedBytes)));
  if (const auto read = (*opened)->read(0, beginning); !read) {
    return Explained{explain_unreachable(arguments.path, read.error()), std::nullopt};
  }
  const auto kind = inspect::recognise_file(beginning);
  opened->reset();
  if (kind == FileKind::kEmpty) {
    return Explained{inspect::explain_file(kind, quoted(arguments.path)), std::nullopt};
  }
  return explain_contents(arguments, kind, beginning);
}

boost::json::array array_of(const std::vector<std::string>& sentences) {
  boost::json::array array;
  for (const auto& sentence : sentences) {
    array.emplace_back(sentence);
  }
  return array;
}

void add_list(std::string& text, std::string_view heading,
              const std::vector<std::string>& sentences) {
  if (sentences.empty()) {
    return;
  }
  text += "\n" + std::string(heading) + "\n";
  for (const auto& sentence : sentences) {
    text += "  - " + cli::printable(sentence) + "\n";
  }
}

cli::ExitStatus status_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOpens:
    case Verdict::kNeedsKey:
    case Verdict::kBlank:
      return cli::ExitStatus::kDone;
    default:
      return cli::ExitStatus::kFoundProblem;
  }
}

base::Result<cli::ExitStatus> explain(const StoreArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(explained, explain_path(arguments));
  const auto& told = explained.explanation;
  if (output.json()) {
    TRY(output.document(
        "strongroom.vmgs.explain/1",
        {{"file", arguments.path},
         {"provenance", explained.provenance ? boost::json::value(to_json(*explained.provenance))
                                             : boost::json::value()},
         {"verdict", inspect::name(told.verdict)},
         {"what", told.what},
         {"why", array_of(told.why)},
         {"opens_it", array_of(told.opens_it)},
         {"next", array_of(told.next)}}));
    return status_of(told.verdict);
  }
  std::string text;
  if (explained.provenance) {
    text += to_text(*explained.provenance);
  }
  text += cli::printable(arguments.path) + " is " + cli::printable(told.what) + ".\n";
  add_list(text, told.verdict == Verdict::kOpens ? "It opens. Worth knowing:" : "Why:", told.why);
  add_list(text, "What would open it, each by itself:", told.opens_it);
  add_list(text, "What to do next:", told.next);
  TRY(output.text(text));
  return status_of(told.verdict);
}

}  // namespace

cli::Command explain_command() {
  return {.name = "explain",
          .summary = "Say why a file does not open, what would open it, and what to do next",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto store = std::make_shared<StoreArguments>();
            add_store_arguments(app, *store);
            return [store](cli::Output& output) { return explain(*store, output); };
          }};
}

}  // namespace tools::vmgs

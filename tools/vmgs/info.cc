// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <iomanip>
#include <memory>
#include <sstream>
#include <utility>

#include "tools/cli/terminal.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/file_report.h"
#include "tools/vmgs/surveyed_store.h"
#include "vmgs/format/blocks.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;
namespace volume = ::vmgs::volume;

// What is larger is looked into by `vmgs show`: a listing costs little more than reading the store.
constexpr std::uint64_t kMostSummarisedBytes = 128 * 1024;

// A store that opens, as a volume and as whoever looks at all of it sees it.
struct Listed {
  SurveyedStore store;
  inspect::Ownership ownership;
  std::vector<volume::Finding> findings;

  [[nodiscard]] const inspect::Side& state() const { return *store.survey.state(); }

  [[nodiscard]] const volume::Generation& generation() const { return *state().generation; }
};

struct ListedFile {
  format::FileId id;
  format::FileEntry entry;
  bool encrypted = false;
  FileMeaning meaning;  // nothing where it cannot be read, or is large
};

base::Result<void> expect_fit(const StoreArguments& arguments, const inspect::Survey& survey) {
  switch (survey.key) {
    case inspect::KeyFit::kNone:
    case inspect::KeyFit::kOpens:
      return {};
    case inspect::KeyFit::kNotEncrypted:
      return base::fail(base::ErrorCode::kDenied,
                        arguments.path +
                            ": a key was given, but the header says that the store is not "
                            "encrypted. If it ever was, it was tampered with; see `vmgs check`");
    default:
      return base::fail(base::Error(*survey.key_error).context(arguments.path));
  }
}

base::Result<Listed> list(const StoreArguments& arguments, const cli::Output& output) {
  TRY_ASSIGN(store, survey_store(arguments));
  auto opened = volume::Volume::open(*store.container.device, store.container.spacing);
  if (!opened) {
    return base::fail(std::move(opened).error().context(arguments.path));
  }
  TRY(expect_fit(arguments, store.survey));
  TRY_ASSIGN(ownership, ownership_of(store.survey));
  auto findings = opened->findings();
  findings.insert(findings.end(), store.survey.findings.begin(), store.survey.findings.end());
  for (const auto& finding : findings) {
    if (finding.severity != volume::Severity::kNote) {
      output.talk(finding.where + ": " + finding.message);
    }
  }
  return Listed{std::move(store), std::move(ownership), std::move(findings)};
}

std::vector<ListedFile> files_of(const Listed& listed) {
  std::vector<ListedFile> files;
  for (std::size_t i = 0; i < format::kFileIds; ++i) {
    const auto id = static_cast<format::FileId>(i);
    const auto& entry = listed.state().entries.at(i);
    if (!format::is_content(id) || !entry) {
      continue;
    }
    ListedFile file{id, *entry, listed.generation().is_encrypted(id), {}};
    if (entry->valid_bytes <= kMostSummarisedBytes) {
      const auto content = listed.generation().read_file(*listed.store.container.device, id);
      if (content) {
        file.meaning = meaning_of(id, content->expose());
      }
    }
    files.push_back(std::move(file));
  }
  return files;
}

boost::json::value or_null(std::string_view text) {
  return text.empty() ? boost::json::value() : boost::json::value(text);
}

boost::json::object describe(const ListedFile& file) {
  boost::json::object object = {{"id", format::index(file.id)}};
  object["name"] = or_null(format::name(file.id));
  object["size_bytes"] = file.entry.valid_bytes;
  object["first_block"] = file.entry.first_block;
  object["blocks"] = file.entry.allocated_blocks;
  object["encrypted"] = file.encrypted;
  object["summary"] = or_null(file.meaning.summary);
  object["trouble"] = or_null(file.meaning.trouble);
  return object;
}

std::string_view state_of(const inspect::Side& side) {
  return side.generation ? "valid" : side.header.blank ? "blank" : "wrong";
}

boost::json::array headers_of(const inspect::Survey& survey) {
  boost::json::array headers;
  for (std::size_t slot = 0; slot < survey.sides.size(); ++slot) {
    const auto& side = survey.sides.at(slot);
    boost::json::object header = {{"slot", slot}, {"state", state_of(side)}};
    header["is_state"] = survey.state_slot == slot;
    header["reason"] = side.generation || side.header.blank
                           ? boost::json::value()
                           : boost::json::value(side.header.header.error().message);
    if (side.generation) {
      header["sequence"] = side.generation->header().sequence;
      header["file_table_block"] = side.table_block();
      header["table_whole"] = side.generation->table().has_value();
      header["key_slots"] = {side.generation->header().key_slots[0].has_value(),
                             side.generation->header().key_slots[1].has_value()};
    }
    headers.push_back(std::move(header));
  }
  return headers;
}

std::uint64_t commit_sequence(const volume::Generation& generation) {
  const auto info = generation.commit_info();
  return info ? info->sequence : 0;
}

base::Result<void> answer_json(cli::Output& output, const std::string& path, const Listed& listed) {
  const auto& container = listed.store.container;
  const auto& header = listed.generation().header();
  boost::json::object fields = {
      {"file", path},
      {"provenance", to_json(listed.store.provenance)},
      {"container", name(container.kind)},
      {"size_bytes", container.device->size_bytes()},
      {"header_spacing", bytes(container.spacing)},
      {"capacity_blocks", listed.store.survey.capacity_blocks},
      {"active_slot", listed.generation().slot()},
      {"sequence", header.sequence},
      {"reprovisioned", header.reprovisioned},
      {"encrypted", header.encrypted},
      {"locked", header.encrypted && !listed.generation().unlocked()},
      {"key_slots", {header.key_slots[0].has_value(), header.key_slots[1].has_value()}},
  };
  for (const auto& each : space_json(listed.ownership)) {
    fields[each.key()] = each.value();
  }
  if (listed.generation().unlocked()) {
    fields["commit_sequence"] = commit_sequence(listed.generation());
  }
  fields["headers"] = headers_of(listed.store.survey);
  boost::json::array files;
  for (const auto& file : files_of(listed)) {
    files.push_back(describe(file));
  }
  fields["files"] = std::move(files);
  fields["findings"] = to_json(listed.findings);
  return output.document("strongroom.vmgs.info/1", std::move(fields));
}

std::string protection(const volume::Generation& generation) {
  if (!generation.header().encrypted) {
    return "none, everything is in plaintext";
  }
  const auto& slots = generation.header().key_slots;
  return std::string("encrypted, ") + (generation.unlocked() ? "unlocked" : "locked") +
         (slots[0] && slots[1] ? ", two keys open it" : "");
}

std::string header_text(const inspect::Survey& survey, std::size_t slot) {
  const auto& side = survey.sides.at(slot);
  std::string text = "slot " + std::to_string(slot) + ", ";
  if (!side.generation) {
    return text + (side.header.blank ? "blank" : "wrong: " + side.header.header.error().message);
  }
  text += "sequence " + std::to_string(side.generation->header().sequence) + ", table in block " +
          std::to_string(side.table_block());
  text += side.generation->header().reprovisioned ? ", reprovisioned" : "";
  text += survey.state_slot == slot ? ", the state" : ", the generation before";
  return text + (side.generation->table() ? "" : ", whose table is wrong");
}

base::Result<void> answer_text(cli::Output& output, const std::string& path, const Listed& listed) {
  const auto& container = listed.store.container;
  std::ostringstream text;
  text << "file        " << cli::printable(path) << "\n"
       << to_text(listed.store.provenance) << "container   " << name(container.kind) << ", "
       << container.device->size_bytes() << " bytes, headers " << bytes(container.spacing)
       << " bytes apart\n"
       << "blocks      " << space_text(listed.ownership) << "\n"
       << "protection  " << protection(listed.generation()) << "\n"
       << "headers     " << header_text(listed.store.survey, 0) << "\n"
       << "            " << header_text(listed.store.survey, 1) << "\n";
  if (listed.generation().unlocked()) {
    const auto sequence = commit_sequence(listed.generation());
    text << "commits     "
         << (sequence == 0 ? "no commit sequence: made or edited by a tool"
                           : std::to_string(sequence))
         << "\n";
  }
  text << "\n ID  NAME                       SIZE   BLOCK  BLOCKS  KEPT       MEANING\n";
  for (const auto& file : files_of(listed)) {
    text << std::setw(3) << format::index(file.id) << "  " << std::left << std::setw(20)
         << format::name(file.id) << std::right << std::setw(11) << file.entry.valid_bytes
         << std::setw(8) << file.entry.first_block << std::setw(8) << file.entry.allocated_blocks
         << (file.encrypted ? "  encrypted  " : "  plaintext  ")
         << cli::printable(file.meaning.summary) << "\n";
  }
  return output.text(text.str());
}

base::Result<cli::ExitStatus> info(const StoreArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(listed, list(arguments, output));
  TRY(output.json() ? answer_json(output, arguments.path, listed)
                    : answer_text(output, arguments.path, listed));
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command info_command() {
  return {.name = "info",
          .summary = "Show what a store is and which files it holds",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto store = std::make_shared<StoreArguments>();
            add_store_arguments(app, *store);
            return [store](cli::Output& output) { return info(*store, output); };
          }};
}

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/terminal.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/file_report.h"
#include "tools/vmgs/surveyed_store.h"
#include "tools/vmgs/uefi_report.h"
#include "vmgs/crypto/digest.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;
using format::FileId;

struct ShowArguments {
  StoreArguments store;
  std::string id;
  bool previous = false;
};

base::Result<const inspect::Side*> side_of(const SurveyedStore& store, bool previous) {
  const auto* side = previous ? store.survey.previous() : shown_side(store.survey);
  if (side == nullptr) {
    return base::fail(base::ErrorCode::kNotFound,
                      previous ? "there is no generation before this one"
                               : "neither header is valid: see `vmgs explain`");
  }
  return side;
}

// The tables of variables are laid out for people already.
base::Result<std::string> body(FileId id, base::ByteView content, const FileMeaning& meaning) {
  if ((id == FileId::kBiosNvram || id == FileId::kUefiFlash) && meaning.trouble.empty()) {
    TRY_ASSIGN(variables, decode_uefi_variables(id, content));
    return to_text(variables, report_on(variables), /*all=*/false);
  }
  return facts_text(meaning.fields);
}

base::Result<cli::ExitStatus> show(const ShowArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(id, parse_content_id(arguments.id));
  TRY_ASSIGN(store, survey_store(arguments.store));
  TRY_ASSIGN(side, side_of(store, arguments.previous));
  const auto& generation = *side->generation;
  TRY_ASSIGN(content, generation.read_file(*store.container.device, id));
  // A plaintext file is held by the key only where the sealed table has a digest of it.
  const bool is_verified =
      generation.unlocked() && (generation.is_encrypted(id) || generation.commit_info());
  const auto meaning = meaning_of(id, content.expose());
  if (output.json()) {
    TRY(output.document("strongroom.vmgs.show/1",
                        {{"file", arguments.store.path},
                         {"provenance", to_json(store.provenance)},
                         {"id", format::index(id)},
                         {"name", format::name(id).empty() ? boost::json::value()
                                                           : boost::json::value(format::name(id))},
                         {"sequence", generation.header().sequence},
                         {"size_bytes", content.size()},
                         {"sha256", base::to_hex(::vmgs::crypto::sha256(content.expose()))},
                         {"verified", is_verified},
                         {"summary", meaning.summary},
                         {"trouble", meaning.trouble.empty() ? boost::json::value()
                                                             : boost::json::value(meaning.trouble)},
                         {"content", meaning.fields}}));
  } else {
    TRY_ASSIGN(text, body(id, content.expose(), meaning));
    std::string heading =
        to_text(store.provenance) + "content     " + format::describe(id) + ", " +
        std::to_string(content.size()) + " bytes, " +
        (is_verified ? "verified with the key" : "not verified: anybody can have written it") +
        "\nmeaning     " + meaning.summary + "\n";
    if (!meaning.trouble.empty()) {
      heading += "trouble     " + cli::printable(meaning.trouble) + "\n";
    }
    TRY(output.text(heading + (text.empty() ? "" : "\n" + text)));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command show_command() {
  return {.name = "show",
          .summary = "Say what a file of a store means: a TPM, variables, protectors, a record",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<ShowArguments>();
            add_store_arguments(app, arguments->store);
            add_file_id_argument(app, arguments->id);
            app.add_flag("--previous", arguments->previous,
                         "As it is in the generation before, as far as that is still there");
            return [arguments](cli::Output& output) { return show(*arguments, output); };
          }};
}

}  // namespace tools::vmgs

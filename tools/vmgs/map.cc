// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <memory>
#include <utility>

#include "tools/cli/terminal.h"
#include "tools/vmgs/block_map.h"
#include "tools/vmgs/commands.h"
#include "tools/vmgs/surveyed_store.h"
#include "vmgs/storage/private_file.h"

namespace tools::vmgs {

namespace {

namespace format = ::vmgs::format;
namespace inspect = ::vmgs::inspect;

struct MapArguments {
  StoreArguments store;
  std::string page;
};

std::string title_of(const inspect::Survey& survey, const inspect::Side& side) {
  const auto& generation = *side.generation;
  const std::string which = survey.state() == nullptr ? "a generation, not known to be the newest"
                            : survey.state() == &side ? "the state"
                                                      : "the other generation";
  return which + ": header slot " + std::to_string(generation.slot()) + ", sequence " +
         std::to_string(generation.header().sequence) +
         (side.bad_entries == 0
              ? ""
              : ", without " + std::to_string(side.bad_entries) + " entries that are wrong");
}

base::Result<std::vector<BlockMap>> maps_of(const inspect::Survey& survey) {
  TRY_ASSIGN(ownership, ownership_of(survey));
  const auto& shown = *shown_side(survey);
  std::vector<BlockMap> maps;
  maps.push_back(draw(title_of(survey, shown), ownership));
  const auto& other = survey.sides.at(1 - shown.generation->slot());
  if (other.generation) {
    maps.push_back(
        draw(title_of(survey, other), inspect::own(survey.capacity_blocks, other, nullptr)));
  }
  return maps;
}

boost::json::value id_or_null(const std::optional<format::FileId>& id) {
  return id ? boost::json::value(format::index(*id)) : boost::json::value();
}

boost::json::array extents_json(const BlockMap& map) {
  boost::json::array extents;
  for (const auto& extent : map.extents) {
    extents.push_back({{"first_block", extent.first_block},
                       {"blocks", extent.blocks},
                       {"use", inspect::name(extent.use)},
                       {"id", id_or_null(extent.owner)},
                       {"also_id", id_or_null(extent.also)},
                       {"previous_id", id_or_null(extent.previously)}});
  }
  return extents;
}

base::Result<cli::ExitStatus> map(const MapArguments& arguments, cli::Output& output) {
  TRY_ASSIGN(store, survey_store(arguments.store));
  TRY_ASSIGN(maps, maps_of(store.survey));
  TRY_ASSIGN(ownership, ownership_of(store.survey));
  if (!arguments.page.empty()) {
    const PageHeading heading{"Block map of " + arguments.store.path,
                              {to_text(store.provenance), "blocks: " + space_text(ownership)}};
    const auto page = to_page(heading, maps);
    if (arguments.page == "-") {
      TRY(output.text(page));
      return cli::ExitStatus::kDone;
    }
    // Never over something else: a slip of the hand would be a store.
    TRY(::vmgs::storage::create_private_file(arguments.page, base::bytes_of(page)));
  }
  if (output.json()) {
    auto fields = space_json(ownership);
    fields["file"] = arguments.store.path;
    fields["provenance"] = to_json(store.provenance);
    fields["capacity_blocks"] = store.survey.capacity_blocks;
    fields["extents"] = extents_json(maps.front());
    fields["other_extents"] =
        maps.size() > 1 ? boost::json::value(extents_json(maps.back())) : boost::json::value();
    TRY(output.document("strongroom.vmgs.map/1", std::move(fields)));
  } else if (arguments.page.empty()) {
    TRY(output.text("file        " + cli::printable(arguments.store.path) + "\n" +
                    to_text(store.provenance) + "blocks      " + space_text(ownership) + "\n" +
                    to_text(maps, cli::shows_colour(STDOUT_FILENO))));
  }
  return cli::ExitStatus::kDone;
}

}  // namespace

cli::Command map_command() {
  return {.name = "map",
          .summary = "Draw whose each block is, in both generations",
          .set_up = [](CLI::App& app) -> cli::Action {
            auto arguments = std::make_shared<MapArguments>();
            add_store_arguments(app, arguments->store);
            app.add_option("--html", arguments->page,
                           "Write the drawing as one HTML page: to a new file, or - for stdout")
                ->type_name("TO");
            return [arguments](cli::Output& output) { return map(*arguments, output); };
          }};
}

}  // namespace tools::vmgs

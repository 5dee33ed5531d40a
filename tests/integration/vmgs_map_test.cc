// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <sstream>

#include "tests/integration/vmgs_inspector.h"

namespace tests::integration {
namespace {

namespace json = boost::json;
using support::golden_image;
using support::GoldenImage;
using support::GoldenOutcome;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class VmgsMapGoldenTest : public ::testing::TestWithParam<GoldenImage> {
 protected:
  VmgsInspector tool_;
};

// Of every block of every image the map says whose it is, as the manifest does.
TEST_P(VmgsMapGoldenTest, TellsWhoseEachBlockIs) {
  const auto& image = GetParam();
  const auto store = tool_.unpacked(image);
  const auto before = VmgsInspector::content(store);
  if (image.outcome == GoldenOutcome::kBlank || image.outcome == GoldenOutcome::kVersion1) {
    EXPECT_THAT(tool_.vmgs({"map", store}).status, AnyOf(4, 5));
    return;
  }
  if (image.outcome == GoldenOutcome::kCorrupt) {
    EXPECT_THAT(tool_.vmgs({"map", store}).status, AnyOf(0, 6));  // as much as there is
    EXPECT_EQ(VmgsInspector::content(store), before);
    return;
  }

  const auto map = tool_.document({"map", store});
  const auto text = tool_.vmgs({"map", store});

  EXPECT_EQ(map.at("schema"), "strongroom.vmgs.map/1");
  std::int64_t next = 0;
  std::map<std::int64_t, std::int64_t> owned;
  for (const auto& extent : map.at("extents").as_array()) {
    EXPECT_EQ(extent.at("first_block").to_number<std::int64_t>(), next);
    next += extent.at("blocks").to_number<std::int64_t>();
    for (const auto* member : {"id", "also_id"}) {
      if (const auto& id = extent.at(member); !id.is_null()) {
        owned[id.to_number<std::int64_t>()] += extent.at("blocks").to_number<std::int64_t>();
      }
    }
  }
  EXPECT_EQ(next, map.at("capacity_blocks").to_number<std::int64_t>());
  for (const auto& file : image.files) {
    EXPECT_EQ(owned[static_cast<std::int64_t>(vmgs::format::index(file.id))], file.allocated_blocks)
        << vmgs::format::describe(file.id);
    EXPECT_THAT(text.out, HasSubstr(vmgs::format::describe(file.id)));
  }
  EXPECT_EQ(map.at("overlapping_blocks") != 0, !image.writable);
  EXPECT_THAT(text.out, Not(HasSubstr("\x1b")));  // no colours but on a terminal
  EXPECT_EQ(VmgsInspector::content(store), before);
}

INSTANTIATE_TEST_SUITE_P(All, VmgsMapGoldenTest, ::testing::ValuesIn(support::golden_images()),
                         [](const auto& image) { return test_name(image.param); });

TEST(VmgsMapTest, WritesAPageThatNeedsNothingElse) {
  const VmgsInspector tool;
  const auto store = tool.unpacked(golden_image("07"));
  const auto page = tool.path("map.html");

  ASSERT_EQ(tool.vmgs({"map", store, "--html", page}).status, 0);

  const auto html = VmgsInspector::content(page);
  EXPECT_THAT(html, HasSubstr("<svg"));
  EXPECT_THAT(html, HasSubstr("class=\"overlap\""));
  EXPECT_THAT(html, HasSubstr("CLAIMED BY BOTH TPM_NVRAM (3) and GUEST_FIRMWARE (8)"));
  for (const auto* loads : {"<script", "src=", "href=", "url(", "@import"}) {
    EXPECT_THAT(html, Not(HasSubstr(loads)));
  }
  // A page, or a store, that is there already is not written over.
  EXPECT_EQ(tool.vmgs({"map", store, "--html", page}).status, 5);
  EXPECT_EQ(tool.vmgs({"map", store, "--html", store}).status, 5);
}

TEST(VmgsMapTest, LetsNoFileNameIntoThePageOrTheTerminal) {
  const VmgsInspector tool;
  const auto store = tool.path("<b>\x1b[31m.vmgs");
  ASSERT_EQ(tool.vmgs({"create", store, "--size", "64KiB"}).status, 0);

  EXPECT_THAT(tool.vmgs({"map", store}).out, Not(HasSubstr("\x1b")));
  const auto page = tool.vmgs({"map", store, "--html", "-"}).out;
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;?[31m"));
}

TEST(VmgsMapTest, ColoursWhereItIsToldTo) {
  const VmgsInspector tool;
  const auto store = tool.unpacked(golden_image("07"));
  const auto run = [&](const std::string& setting) {
    return support::run_command({"/usr/bin/env", setting, VMGS_TOOL, "map", store}).out;
  };

  EXPECT_THAT(run("CLICOLOR_FORCE=1"), HasSubstr("\x1b[1;37;41m!!!!!\x1b[0m"));
  EXPECT_THAT(run("TERM=xterm"), Not(HasSubstr("\x1b")));
}

TEST(VmgsMapTest, SaysHowMuchIsFreeAndWhatStillHoldsTheGenerationBefore) {
  const VmgsInspector tool;
  const auto store = tool.path("new.vmgs");
  ASSERT_EQ(tool.vmgs({"create", store, "--size", "64KiB"}).status, 0);
  ASSERT_EQ(tool.vmgs({"write", store, "ATTEST"}, std::string(5000, 'a')).status, 0);
  ASSERT_EQ(tool.vmgs({"write", store, "ATTEST", "--overwrite"}, "shorter").status, 0);

  const auto map = tool.document({"map", store});

  // 16 blocks: two headers, two tables, a file of one. The table before and its file of two are
  // reclaimable; the sealed table of a plaintext store is shared.
  EXPECT_EQ(map.at("free_blocks"), 11);
  EXPECT_EQ(map.at("reclaimable_blocks"), 3);
  EXPECT_EQ(map.at("provenance").at("origin"), "foreign");
}

// Whoever looks at a damaged or hostile file does so with little around it.
TEST(VmgsLibrariesTest, AreThoseOfPureDecodersAlone) {
  const auto ran = support::run_command({"/usr/bin/readelf", "-d", VMGS_TOOL});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::set<std::string> allowed = {
      "libc", "libm", "libstdc++", "libgcc_s", "libcrypto", "libasan", "libubsan", "libtsan",
      "libatomic", "ld-linux-x86-64", "libboost_json", "libboost_container",
      // Codecs without a socket or a device: messages of claims, TPM structures.
      "libprotobuf-lite", "libtss2-mu"};
  std::istringstream lines(ran.out);
  std::size_t seen = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("(NEEDED)") == std::string::npos) {
      continue;
    }
    const auto open = line.find('[');
    ASSERT_NE(open, std::string::npos);
    const auto library = line.substr(open + 1, line.find(".so") - open - 1);
    EXPECT_EQ(allowed.count(library), 1U) << line;
    ++seen;
  }
  EXPECT_GE(seen, 3U);
}

TEST(VmgsLibrariesTest, LeaveItWithoutAWordToTheNetwork) {
  const auto ran = support::run_command({"/usr/bin/readelf", "--dyn-syms", "--wide", VMGS_TOOL});
  ASSERT_EQ(ran.status, 0) << ran.err;
  ASSERT_THAT(ran.out, HasSubstr(" UND "));

  for (const auto* call : {"socket", "connect", "getaddrinfo", "bind", "sendto", "sqlite3_open_v2",
                           "TPMLIB_MainInit", "Esys_Initialize", "PQconnectdb", "SSL_new"}) {
    EXPECT_THAT(ran.out, Not(HasSubstr(" " + std::string(call) + "@"))) << call;
    EXPECT_THAT(ran.out, Not(HasSubstr(" " + std::string(call) + "\n"))) << call;
  }
}

}  // namespace
}  // namespace tests::integration

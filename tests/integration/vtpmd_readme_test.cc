// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>

#include "tests/integration/guest.h"

namespace tests::integration {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string content_of(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// tools/README.md tells people what to type and what may be set. Here it is held to it.
class ReadmeTest : public VtpmdTest {
 protected:
  // What stands between a heading and the next of its rank.
  static std::string section(const std::string& heading) {
    const auto readme = content_of(fs::path(STRONGROOM_SOURCE) / "tools/README.md");
    const auto begin = readme.find("\n## " + heading + "\n");
    EXPECT_NE(begin, std::string::npos) << heading;
    const auto end = readme.find("\n## ", begin + 1);
    return begin == std::string::npos ? "" : readme.substr(begin, end - begin);
  }

  // All of its shell, in order.
  static std::string shell_of(const std::string& text) {
    static const std::string kOpen = "```sh\n";
    std::string shell;
    for (auto open = text.find(kOpen); open != std::string::npos;) {
      const auto begin = open + kOpen.size();
      const auto close = text.find("```", begin);
      shell += text.substr(begin, close - begin);
      open = text.find(kOpen, close);
    }
    return shell;
  }
};

TEST_F(ReadmeTest, ItsCallsByCurlWorkAsTheyStandThere) {
  const auto shell = shell_of(section("The same calls by curl"));
  ::setenv("VTPMD_SOCKET", vtpmd_.socket().c_str(), 1);

  const auto ran = support::run_command({"/bin/bash", "-e", "-o", "pipefail", "-c", shell});

  ::unsetenv("VTPMD_SOCKET");
  EXPECT_EQ(ran.status, 0) << ran.out << ran.err << vtpmd_.log();
  EXPECT_THAT(ran.out, HasSubstr(R"("created":true)"));
  EXPECT_THAT(ran.out, HasSubstr(R"("isReady":true)"));
  EXPECT_THAT(ran.out, HasSubstr(R"("caughtUp":true)"));
  EXPECT_TRUE(vtpmd_.ctl_json({"list"}).at("vms").as_array().empty()) << "the last call deletes it";
  const auto proto =
      content_of(fs::path(STRONGROOM_SOURCE) / "keybroker/protocol/vm_service.proto");
  int methods = 0;
  for (auto rpc = proto.find("  rpc "); rpc != std::string::npos; rpc = proto.find("  rpc ", rpc)) {
    rpc += 6;
    const auto method = proto.substr(rpc, proto.find('(', rpc) - rpc);
    EXPECT_THAT(shell, HasSubstr(method));
    ++methods;
  }
  EXPECT_EQ(methods, 16);
}

TEST_F(ReadmeTest, ListsEachSettingWithItsDefault) {
  const auto configuration = section("Configuration");
  std::ofstream(folder_ / "empty.toml") << "";

  const auto ran = support::run_command(
      {VTPMCTL, "config", "dump", "--json", "--config", folder_ / "empty.toml"});

  const auto dumped = boost::json::parse(ran.out);
  const auto& settings = dumped.at("settings").as_array();
  EXPECT_GT(settings.size(), 5U);
  for (const auto& setting : settings) {
    const auto text = [&](const char* field) { return std::string(setting.at(field).as_string()); };
    EXPECT_THAT(configuration, HasSubstr("| `[" + text("section") + "]` | `" + text("name") +
                                         "` | `" + text("value") + "` |"));
  }
}

// What a package brings as configuration has each setting, with the default.
TEST_F(ReadmeTest, ShippedConfigurationsHaveEachSetting) {
  std::ofstream(folder_ / "empty.toml") << "";
  for (const auto& [program, file] :
       {std::pair{VTPMCTL, "vtpmd.toml"}, std::pair{KEYBROKERD, "keybrokerd.toml"}}) {
    const auto shipped = content_of(fs::path(STRONGROOM_SOURCE) / "tools/packaging" / file);

    const auto ran = support::run_command(
        {program, "config", "dump", "--json", "--config", folder_ / "empty.toml"});

    ASSERT_EQ(ran.status, 0) << ran.err;
    std::string section;
    std::size_t begin = 0;
    const auto dumped = boost::json::parse(ran.out);
    for (const auto& setting : dumped.at("settings").as_array()) {
      const auto text = [&](const char* field) {
        return std::string(setting.at(field).as_string());
      };
      if (text("section") != section) {
        section = text("section");
        begin = shipped.find("\n[" + section + "]\n");
        ASSERT_NE(begin, std::string::npos) << file << ": " << section;
      }
      const auto end = std::min(shipped.find("\n[", begin + 1), shipped.size());
      const auto settings = shipped.substr(begin, end - begin);
      EXPECT_THAT(settings, HasSubstr("\n# " + text("name") + " = ")) << file << ": " << section;
    }
  }
}

TEST_F(ReadmeTest, ListsEachReadiness) {
  const auto readiness = section("Readiness");
  const auto table = content_of(fs::path(STRONGROOM_SOURCE) / "keybroker/protocol/readiness.cc");
  int words = 0;
  for (auto row = table.find("ReadinessRow{"); row != std::string::npos;
       row = table.find("ReadinessRow{", row + 1)) {
    const auto begin = table.find('"', row) + 1;
    EXPECT_THAT(readiness,
                HasSubstr("`" + table.substr(begin, table.find('"', begin) - begin) + "`"));
    ++words;
  }
  EXPECT_GE(words, 22);
}

}  // namespace
}  // namespace tests::integration

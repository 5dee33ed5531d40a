// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/certificates_tool.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace tools::swtpm {
namespace {

TEST(SetupConfigTest, PutsWhatTheEnvironmentSaysInPlaceOfItsVariables) {
  const tests::support::TempFolder folder;
  ASSERT_EQ(::setenv("STRONGROOM_TEST_TOOL", "localca", 1), 0);
  ASSERT_EQ(::setenv("HOME", "/home/tester", 1), 0);
  ASSERT_EQ(::unsetenv("STRONGROOM_TEST_NOTHING"), 0);
  std::ofstream(folder / "setup.conf")
      << "create_certs_tool = ${STRONGROOM_TEST_TOOL}\n"
         "create_certs_tool_config = ~/a ${STRONGROOM_TEST_TOOL}/${STRONGROOM_TEST_NOTHING}.conf\n"
         "create_certs_tool_options = ${STRONGROOM_TEST_TOOL\n";

  const auto config = SetupConfig::read((folder / "setup.conf").string());

  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->certificates_tool, "localca");
  EXPECT_EQ(config->certificates_tool_config, "/home/tester/a localca/.conf");
  EXPECT_EQ(config->certificates_tool_options, "${STRONGROOM_TEST_TOOL") << "it has no end";
}

}  // namespace
}  // namespace tools::swtpm

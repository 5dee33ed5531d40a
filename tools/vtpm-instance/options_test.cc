// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tests/support/error_code.h"
#include "tests/support/temp_folder.h"

namespace tools::vtpm_instance {
namespace {

using base::ErrorCode;
using keybroker::protocol::Lifetime;
using keybroker::protocol::Protection;
using tests::support::error_code;

base::Result<CommandLine> read(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "vtpm-instance");
  std::vector<const char*> argv;
  for (const auto& argument : arguments) {
    argv.push_back(argument.c_str());
  }
  return read_command_line("vtpm-instance", static_cast<int>(argv.size()), argv.data());
}

TEST(InstanceOptionsTest, DefaultToAnOrdinaryPersistentVm) {
  const auto line = read({"--vmgs", "vm.vmgs", "--ctrl", "sock"});

  ASSERT_TRUE(line) << line.error().message;
  const auto& setup = line->setup;
  EXPECT_EQ(setup.store, "vm.vmgs");
  EXPECT_EQ(setup.key_file, "vm.vmgs.key");
  EXPECT_EQ(setup.key_file_kind, vtpm::sealing::KeyFileKind::kFile);
  EXPECT_EQ(setup.control.path, "sock");
  EXPECT_TRUE(setup.data.path.empty());
  EXPECT_EQ(setup.protection, Protection::kHost);
  EXPECT_EQ(setup.lifetime, Lifetime::kPersistent);
  EXPECT_EQ(setup.home, Home::kHost);
  EXPECT_EQ(setup.barriers, vmgs::volume::Barriers::kOneWhereSafe);
  EXPECT_EQ(setup.tcb_grace, vtpm::sealing::TcbGrace::kRunning);
  EXPECT_FALSE(setup.may_create);
  EXPECT_FALSE(setup.incoming);
  EXPECT_TRUE(setup.launch_document.empty());
}

TEST(InstanceOptionsTest, TakeKeysAsSwtpmDoes) {
  tests::support::TempFolder folder;
  std::ofstream(folder / "passphrase") << "correct horse";
  const auto key = "pwdfile=" + (folder / "passphrase").string() + ",mode=aes-256-cbc";

  const auto line = read({"--vmgs", "v", "--ctrl", "c", "--key", key, "--migration-key", key,
                          "--state-blobs", "plain"});

  ASSERT_TRUE(line) << line.error().message;
  const auto& setup = line->setup;
  ASSERT_TRUE(setup.given_key && setup.migration_key);
  EXPECT_EQ(read({"--vmgs", "v", "--ctrl", "c", "--migration-key", key})->setup.state_blobs,
            StateBlobForm::kPlain);
  EXPECT_TRUE(setup.key_file.empty());
  EXPECT_EQ(setup.migration_key->size(), 32U);
  EXPECT_EQ(setup.state_blobs, StateBlobForm::kPlain);
  EXPECT_EQ(error_code(read({"--vmgs", "v", "--ctrl", "c", "--key", "pwdfile=/nowhere"})),
            ErrorCode::kNotFound);
  EXPECT_EQ(error_code(read({"--vmgs", "v", "--ctrl", "c", "--migration-key", "secret"})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read({"--vmgs", "v", "--ctrl", "c", "--migration-key", key, "--state-blobs",
                             "refused"})),
            ErrorCode::kInvalidArgument);
}

TEST(InstanceOptionsTest, ReachTheSetup) {
  const auto line = read({"--vmgs", "v", "--ctrl", "c", "--data", "d", "--create", "--incoming",
                          "--key", "k", "--protection", "none", "--durability", "strict",
                          "--tcb-grace", "over", "--state-blobs", "plain"});

  ASSERT_TRUE(line) << line.error().message;
  const auto& setup = line->setup;
  EXPECT_TRUE(setup.may_create);
  EXPECT_TRUE(setup.incoming);
  EXPECT_EQ(setup.data.path, "d");
  EXPECT_EQ(setup.key_file, "k");
  EXPECT_EQ(setup.protection, Protection::kNone);
  EXPECT_EQ(setup.barriers, vmgs::volume::Barriers::kTwo);
  EXPECT_EQ(setup.tcb_grace, vtpm::sealing::TcbGrace::kOver);
  EXPECT_EQ(read({"--vmgs", "v", "--ctrl", "c", "--home", "paravisor"})->setup.home,
            Home::kParavisor);
}

TEST(InstanceOptionsTest, SpeakTheSimulatorsProtocolOnlyWhereThereIsNoHypervisor) {
  EXPECT_FALSE(read({"--ctrl", "c", "--vmgs", "v"})->setup.simulator_port);
  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v", "--mssim", "2321"})->setup.simulator_port, 2321);
  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v", "--mssim", "0"})->setup.simulator_port, 0);
  for (const char* option : {"--incoming", "--home=paravisor"}) {
    EXPECT_EQ(error_code(read({"--ctrl", "c", "--vmgs", "v", "--mssim", "0", option})),
              ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(error_code(read({"--ctrl", "c", "--vmgs", "v", "--mssim", "65536"})),
            ErrorCode::kInvalidArgument);
}

TEST(InstanceOptionsTest, SealTheStateThatLeavesToATicketOrLetNoneLeave) {
  const std::vector<std::string> sealed = {
      "--ctrl", "c", "--vmgs", "v", "--state-blobs", "sealed", "--migration-ticket", "t"};
  const auto with = [&](std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return read(all);
  };
  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v"})->setup.state_blobs, StateBlobForm::kRefused);
  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v", "--state-blobs", "refused"})->setup.state_blobs,
            StateBlobForm::kRefused);
  EXPECT_EQ(read(sealed)->setup.state_blobs, StateBlobForm::kSealed);
  EXPECT_EQ(read(sealed)->setup.migration_ticket, "t");
  EXPECT_FALSE(read(sealed)->setup.release_ticket);
  EXPECT_TRUE(with(sealed, {"--release-ticket"})->setup.release_ticket);
  EXPECT_TRUE(with(sealed, {"--incoming"})->setup.incoming);

  const std::vector<std::string> plain = {"--ctrl", "c", "--vmgs", "v"};
  for (const auto& odd :
       {with(plain, {"--state-blobs", "sealed"}), with(plain, {"--migration-ticket", "t"}),
        with(plain, {"--release-ticket"}), with(plain, {"--incoming"}),
        with(plain, {"--state-blobs", "open"}), with(sealed, {"--release-ticket", "--incoming"}),
        with(sealed, {"--release-ticket", "--create"}), with(sealed, {"--home", "paravisor"}),
        with(sealed, {"--migration-key", "pwdfile=/nowhere,mode=aes-256-cbc"})}) {
    EXPECT_EQ(error_code(odd), ErrorCode::kInvalidArgument);
  }
}

TEST(InstanceOptionsTest, GiveAnEphemeralTpmNoStore) {
  EXPECT_EQ(read({"--ctrl", "c", "--lifetime", "ephemeral"})->setup.lifetime, Lifetime::kEphemeral);
  EXPECT_EQ(error_code(read({"--ctrl", "c", "--lifetime", "ephemeral", "--vmgs", "v"})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_code(read({"--ctrl", "c", "--lifetime", "ephemeral", "--protection", "host"})),
            ErrorCode::kInvalidArgument);
}

TEST(InstanceOptionsTest, LeaveTheLaunchDocumentItsSay) {
  const tests::support::TempFolder folder;
  const std::string path = folder / "launch";
  std::ofstream(path) << "document";

  const auto line = read({"--ctrl", "c", "--vmgs", "v", "--launch-document", path});
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(base::to_hex(line->setup.launch_document), base::to_hex(base::bytes_of("document")));
  for (const char* option : {"--protection", "--lifetime"}) {
    const auto refused = read({"--ctrl", "c", "--vmgs", "v", "--launch-document", path, option,
                               option[2] == 'p' ? "host" : "persistent"});
    EXPECT_EQ(error_code(refused), ErrorCode::kInvalidArgument) << option;
  }
}

TEST(InstanceOptionsTest, SayWhereALaunchDocumentIsMissing) {
  const auto line = read({"--ctrl", "c", "--vmgs", "v", "--launch-document", "/nowhere/launch"});

  ASSERT_EQ(error_code(line), ErrorCode::kNotFound);
  EXPECT_THAT(line.error().message, testing::HasSubstr("/nowhere/launch"));
}

TEST(InstanceOptionsTest, KnowACredentialByItsFolder) {
  ::setenv("CREDENTIALS_DIRECTORY", "/run/credentials/unit", 1);
  const auto credential =
      read({"--ctrl", "c", "--vmgs", "v", "--key", "/run/credentials/unit/vm.key"});
  const auto file = read({"--ctrl", "c", "--vmgs", "v", "--key", "/run/credentials/vm.key"});
  ::unsetenv("CREDENTIALS_DIRECTORY");

  EXPECT_EQ(credential->setup.key_file_kind, vtpm::sealing::KeyFileKind::kCredential);
  EXPECT_EQ(file->setup.key_file_kind, vtpm::sealing::KeyFileKind::kFile);
}

TEST(InstanceOptionsTest, TakeTheVmConfigurationOfAnExportAsItLies) {
  const tests::support::TempFolder folder;
  const std::string path = folder / "configuration";
  std::ofstream(path) << "{}\n";
  const std::vector<std::string> exporting = {"--ctrl", "c", "--vmgs", "v", "--export-openhcl-key"};

  auto arguments = exporting;
  arguments.push_back(path);
  EXPECT_EQ(read(arguments)->setup.export_for_openhcl, "{}\n");
  for (const char* option : {"--create", "--incoming", "--home=paravisor"}) {
    auto with_option = arguments;
    with_option.emplace_back(option);
    EXPECT_EQ(error_code(read(with_option)), ErrorCode::kInvalidArgument) << option;
  }

  arguments.back() = folder / "nowhere";
  EXPECT_EQ(error_code(read(arguments)), ErrorCode::kNotFound);
  std::filesystem::resize_file(path, 64 * 1024 + 1);
  arguments.back() = path;
  EXPECT_EQ(error_code(read(arguments)), ErrorCode::kNotFound);
}

TEST(InstanceOptionsTest, RefuseWordsThatMeanNothing) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--vmgs", "v"},
      {"--ctrl", "c", "--vmgs", "v", "--protection", "hard"},
      {"--ctrl", "c", "--vmgs", "v", "--lifetime", "short"},
      {"--ctrl", "c", "--vmgs", "v", "--home", "sweet"},
      {"--ctrl", "c", "--vmgs", "v", "--durability", "none"},
      {"--ctrl", "c", "--vmgs", "v", "--tcb-grace", "later"},
      {"--ctrl", "c", "--vmgs", "v", "--incoming", "--home", "paravisor"},
      {"--ctrl", "c", "--vmgs", "v", "--nbd", "n", "--home", "paravisor"},
      {"--ctrl", "c", "--vmgs", "v", "--variables-from", "f"},
      {"--ctrl", "c", "--vmgs", "v", "--variables-size", "131072"},
      {"--ctrl", "c", "--vmgs", "v", "--nbd", "n", "--variables-size", "131073"},
      {"--ctrl", "c", "--vmgs", "v", "--nbd", "n", "--variables-size", "4096", "--variables-from",
       "f"},
      {"--ctrl", "c", "--vmgs", "v", "--bogus"},
      {"--ctrl", "c", "--vmgs", "v", "more"},
  };
  for (const auto& arguments : wrong) {
    EXPECT_EQ(error_code(read(arguments)), ErrorCode::kInvalidArgument) << arguments.back();
  }
}

TEST(InstanceOptionsTest, SayWhereVariablesAreAndWhatTheyBeginWith) {
  const auto blank = read({"--ctrl", "c", "--vmgs", "v", "--nbd", "n"});
  ASSERT_TRUE(blank) << blank.error().message;
  EXPECT_EQ(blank->setup.variables.path, "n");
  EXPECT_EQ(blank->setup.variables_bytes, 540672U);
  EXPECT_TRUE(blank->setup.variables_image.empty());

  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v", "--nbd", "n", "--variables-size", "131072"})
                ->setup.variables_bytes,
            131072U);
  EXPECT_EQ(read({"--ctrl", "c", "--vmgs", "v", "--nbd", "n", "--variables-from", "f"})
                ->setup.variables_image,
            "f");
}

TEST(InstanceOptionsTest, ExplainThemselves) {
  EXPECT_THAT(*read({"--help"})->text, testing::HasSubstr("--launch-document"));
  EXPECT_THAT(*read({"--version"})->text, testing::StartsWith("vtpm-instance "));
}

}  // namespace
}  // namespace tools::vtpm_instance

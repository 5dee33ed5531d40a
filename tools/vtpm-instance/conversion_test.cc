// SPDX-License-Identifier: Apache-2.0
#include "tools/vtpm-instance/conversion.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "tests/support/error_code.h"
#include "tests/support/fake_tee.h"
#include "tests/support/temp_folder.h"
#include "vtpm/boot/state_store.h"

namespace tools::vtpm_instance {
namespace {

namespace protocol = keybroker::protocol;
using base::ErrorCode;
using protocol::LaunchDocument;
using protocol::Protection;
using tests::support::error_code;

class InstanceConversionTest : public testing::Test {
 protected:
  InstanceConversionTest() {
    document_.vm_id.fill(std::byte{7});
    setup_.launch_document = *protocol::encode(document_);
    setup_.store = folder_ / "vm.vmgs";
    setup_.key_file = folder_ / "vm.key";
    const auto kept = vtpm::boot::host_key_protector(setup_.key_file, setup_.key_file_kind);
    vtpm::boot::StoreSettings settings{.path = setup_.store};
    settings.vm_id = vmgs::format::VmId{document_.vm_id};
    settings.new_store_bytes = 256 * 1024;
    EXPECT_TRUE(
        (*vtpm::boot::StateStore::create(settings, *kept, base::bytes_of("state")))->close());
  }

  base::Result<void> convert_to(const LaunchDocument& document) {
    setup_.conversion = InstanceSetup::Conversion{.launch_document = *protocol::encode(document),
                                                  .store = folder_ / "vm-1.vmgs",
                                                  .key_file = folder_ / "vm-1.key"};
    TRY_ASSIGN(choice, choose_launch(setup_));
    return convert(setup_, choice);
  }

  [[nodiscard]] LaunchDocument with(Protection protection) const {
    auto document = document_;
    document.protection = protection;
    return document;
  }

  tests::support::TempFolder folder_;
  LaunchDocument document_;
  InstanceSetup setup_;
};

TEST_F(InstanceConversionTest, CopiesTheStoreForTheOtherDocument) {
  const auto converted = convert_to(with(Protection::kNone));
  ASSERT_TRUE(converted) << converted.error().message;
  vtpm::boot::StoreSettings settings{.path = folder_ / "vm-1.vmgs"};
  settings.vm_id = vmgs::format::VmId{document_.vm_id};
  const auto none = vtpm::boot::no_protector();
  EXPECT_TRUE(vtpm::boot::StateStore::open(settings, *none));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm-1.key"));
}

TEST_F(InstanceConversionTest, CopiesForNothingElse) {
  auto other = with(Protection::kNone);
  other.vm_id.fill(std::byte{8});
  EXPECT_EQ(error_code(convert_to(other)), ErrorCode::kDenied);
  auto ephemeral = with(Protection::kNone);
  ephemeral.lifetime = protocol::Lifetime::kEphemeral;
  EXPECT_EQ(error_code(convert_to(ephemeral)), ErrorCode::kDenied);
  auto confidential = with(Protection::kHardware);
  confidential.tee_family = protocol::TeeFamily::kSevSnp;
  EXPECT_EQ(error_code(convert_to(confidential)), ErrorCode::kDenied);
  ASSERT_TRUE(convert_to(with(Protection::kNone))) << "else none of these could be told apart";
  std::filesystem::remove(folder_ / "vm-1.vmgs");

  auto choice = *choose_launch(setup_);
  choice.tee = std::make_unique<tests::support::FakeTee>(tests::support::FakeTee::snp());
  EXPECT_EQ(error_code(convert(setup_, choice)), ErrorCode::kDenied);
  setup_.conversion->launch_document.pop_back();
  EXPECT_EQ(error_code(convert(setup_, *choose_launch(setup_))), ErrorCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "vm-1.vmgs"));
}

}  // namespace
}  // namespace tools::vtpm_instance

// SPDX-License-Identifier: Apache-2.0
#include "tests/support/host_case.h"
#include "vtpm/host/vm_view.h"

namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
using base::ErrorCode;
using keybroker::protocol::Readiness;
using keybroker::protocol::TeeFamily;

class HostConversionTest : public HostCase {
 protected:
  const Vm& create_brokered() {
    auto made = request("a");
    auto& words = *made.mutable_parameters();
    words.set_tee("sev-snp");
    words.set_protection("broker");
    words.set_tenant("11111111-2222-4333-8444-555555555555");
    words.add_broker_root_hashes(std::string(64, 'a'));
    const auto created = create(made);
    EXPECT_TRUE(created) << created.error().message;
    return *created->first;
  }

  base::Result<void> convert(const Vm& vm, const std::string& tee) {
    api::ConvertVmRequest request;
    request.mutable_changes()->set_tee(tee);
    TRY_ASSIGN(planned, plan_conversion(vm.document, request));
    return host_->convert(vm.id(), planned, nothing);
  }

  base::Result<void> undo(const Vm& vm) {
    TRY_ASSIGN(planned, plan_undo(vm.document, vm.record.launch_document_before));
    return host_->convert(vm.id(), planned, nothing);
  }

  const Vm& found_again() {
    reopen();
    return **host_->find("a");
  }

  [[nodiscard]] std::string document_of_last_start() const {
    return instances_.setups.back().launch_document();
  }

  static std::string text(const base::Bytes& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

TEST_F(HostConversionTest, StartsUnderTheNewDocumentAndKeepsTheOneBeforeUntilItDid) {
  create_brokered();
  const auto& vm = found_again();
  const auto first = vm.record.launch_document;
  ASSERT_TRUE(convert(vm, "tdx"));

  const auto& converted = found_again();
  EXPECT_EQ(converted.document.tee_family, TeeFamily::kTdx);
  EXPECT_EQ(converted.record.launch_document_before, first);
  EXPECT_EQ(view_of(*host_, converted).launch_document_before(), text(first));

  // A start that ends before it has opened the store settles nothing.
  ASSERT_TRUE(host_->start(converted.id()));
  EXPECT_EQ(document_of_last_start(), text(converted.record.launch_document));
  say_last(converted, "broker-refused");
  end(converted);
  EXPECT_EQ(converted.record.launch_document_before, first);

  serve(converted);
  EXPECT_TRUE(converted.record.launch_document_before.empty());
  say_last(converted, "stopped");
  end(converted);
  const auto& settled = found_again();
  EXPECT_TRUE(settled.record.launch_document_before.empty());
  EXPECT_EQ(undo(settled).error().code, ErrorCode::kNotFound);
}

TEST_F(HostConversionTest, GoesBackToTheDocumentOfTheLastStart) {
  const auto& vm = create_brokered();
  const auto first = vm.record.launch_document;
  ASSERT_TRUE(convert(vm, "tdx"));
  ASSERT_TRUE(undo(vm));

  EXPECT_EQ(vm.record.launch_document, first);
  EXPECT_TRUE(vm.record.launch_document_before.empty());
  const auto& again = found_again();
  EXPECT_EQ(again.record.launch_document, first);
  EXPECT_EQ(again.document.tee_family, TeeFamily::kSevSnp);

  // By way of a third.
  ASSERT_TRUE(convert(again, "tdx"));
  api::ConvertVmRequest request;
  request.mutable_changes()->set_offline_rule("allow");
  ASSERT_TRUE(host_->convert(again.id(), *plan_conversion(again.document, request), nothing));
  EXPECT_EQ(again.record.launch_document_before, first) << "it has not started under the second";
  ASSERT_TRUE(undo(again));
  EXPECT_EQ(again.record.launch_document, first);
}

TEST_F(HostConversionTest, ConvertsNoVmThatRuns) {
  const auto& vm = create_brokered();
  const auto first = vm.record.launch_document;
  serve(vm);

  const auto converted = convert(vm, "tdx");
  EXPECT_EQ(converted.error().code, ErrorCode::kDenied);
  EXPECT_NE(converted.error().message.find("stop it"), std::string::npos);
  EXPECT_EQ(vm.record.launch_document, first);
  EXPECT_EQ(found_again().record.launch_document, first);
}

TEST_F(HostConversionTest, ForgetsWhyTheStartBeforeWasRefused) {
  const auto& vm = create_brokered();
  ASSERT_TRUE(host_->start(vm.id()));
  say_last(vm, "broker-refused", "launch-document-other");
  end(vm);
  ASSERT_EQ(vm.readiness, Readiness::kBrokerRefused);

  changes_.clear();
  ASSERT_TRUE(convert(vm, "tdx"));
  EXPECT_EQ(vm.readiness, Readiness::kStopped);
  EXPECT_TRUE(vm.reason.empty());
  EXPECT_EQ(changes_, std::vector{vm.id()});
}

TEST_F(HostConversionTest, ConvertsNothingIfItsAnswerCannotBeKept) {
  const auto& vm = create_brokered();
  const auto first = vm.record.launch_document;
  api::ConvertVmRequest request;
  request.mutable_changes()->set_tee("tdx");
  const auto planned = plan_conversion(vm.document, request);
  const auto refuse = [](const Vm&) -> base::Result<void> {
    return base::fail(ErrorCode::kIo, "as the test said");
  };

  EXPECT_EQ(host_->convert(vm.id(), *planned, refuse).error().code, ErrorCode::kIo);

  EXPECT_EQ(vm.record.launch_document, first);
  EXPECT_EQ(vm.document.tee_family, TeeFamily::kSevSnp);
  EXPECT_EQ(found_again().record.launch_document, first);
}

}  // namespace
}  // namespace vtpm::host

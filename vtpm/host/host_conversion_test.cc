// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "tests/support/host_case.h"
#include "vtpm/host/vm_view.h"

namespace vtpm::host {
namespace {

namespace api = strongroom::host::v1;
namespace protocol = keybroker::protocol;
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

// An ordinary VM whose state goes under another protection: a copy of its store takes its place.
class HostCopyTest : public HostConversionTest {
 protected:
  HostCopyTest() {
    const auto& vm = create_vm("a");
    std::ofstream(folder_.store(vm.id())) << "first";
    std::ofstream(folder_.key(vm.id())) << "first key";
    serve(vm);
    say_last(vm, "stopped");
    end(vm);
  }

  [[nodiscard]] const Vm& vm() const { return **host_->find("a"); }

  base::Result<void> convert_to(const std::string& protection) {
    api::ConvertVmRequest request;
    request.mutable_changes()->set_protection(protection);
    request.set_allow_weaker(true);
    TRY_ASSIGN(planned, plan_conversion(vm().document, request));
    return host_->convert(vm().id(), planned, nothing);
  }

  [[nodiscard]] const strongroom::instance::v1::Setup& last_setup() const {
    return instances_.setups.back();
  }

  // What the instance that copies leaves.
  void make_copy(const std::string& content) {
    const auto& copy = last_setup().conversion();
    std::ofstream(copy.store_path()) << content;
    if (!copy.key_path().empty()) {
      std::ofstream(copy.key_path()) << content << " key";
    }
  }

  void end_copying() {
    say_last(vm(), "stopped");
    end(vm());
  }

  void copy_whole(const std::string& content) {
    make_copy(content);
    host_->converted(vm().id());
    end_copying();
  }

  // The content of the store, and of the key if there is one, that the next start is told; that
  // start is then over, and has opened nothing.
  std::string next_start() {
    EXPECT_TRUE(host_->start(vm().id()));
    const auto read = [](const std::string& path) {
      std::ifstream file(path);
      return std::string(std::istreambuf_iterator<char>(file), {});
    };
    const auto protection = vm().document.protection;
    const auto& setup = last_setup();
    EXPECT_EQ(setup.launch_document(), text(vm().record.launch_document));
    EXPECT_FALSE(setup.has_conversion());
    EXPECT_EQ(setup.key_path().empty(), protection == protocol::Protection::kNone);
    auto all = std::string(name(protection)) + ": " + read(setup.store_path());
    all += setup.key_path().empty() ? "" : ", " + read(setup.key_path());
    say_last(vm(), "store-busy");
    end(vm());
    return all;
  }

  // Names of stores and keys that are there.
  std::string files() {
    std::set<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.store(vm().id()).parent_path())) {
      if (entry.path().filename() != "lease") {
        names.insert(entry.path().filename());
      }
    }
    std::string all;
    for (const auto& name : names) {
      all += name + " ";
    }
    return all;
  }
};

TEST_F(HostCopyTest, TheCopyTakesThePlaceAndTheFirstStaysUntilAStart) {
  ASSERT_TRUE(convert_to("none"));
  EXPECT_EQ(vm().phase, Phase::kConverting);
  EXPECT_EQ(last_setup().conversion().launch_document().empty(), false);
  EXPECT_EQ(last_setup().store_path(), folder_.store(vm().id()).string());
  EXPECT_FALSE(host_->start(vm().id())) << "its hypervisor waits";
  EXPECT_FALSE(host_->stop(vm().id(), false));
  EXPECT_FALSE(host_->remove(vm().id(), nothing));
  const auto again = convert_to("none");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kUnavailable) << "it goes on";
  copy_whole("second");

  EXPECT_EQ(vm().phase, Phase::kStopped);
  EXPECT_EQ(vm().readiness, Readiness::kStopped);
  EXPECT_FALSE(vm().unconverted);
  EXPECT_EQ(view_of(*host_, vm()).store_path(), folder_.store(vm().id(), 1).string());
  EXPECT_EQ(next_start(), "none: second");
  EXPECT_EQ(files(), "vm-1.vmgs vm.key vm.vmgs ") << "that start has opened nothing";
  reopen();
  EXPECT_EQ(next_start(), "none: second");

  // A guest uses the copy only after it is noted that the first counts no longer.
  instances_.sent.clear();
  serve(vm());
  EXPECT_TRUE(last_setup().await_serve());
  EXPECT_EQ(instances_.sent.size(), 1U);
  EXPECT_TRUE(vm().record.launch_document_before.empty());
  EXPECT_EQ(files(), "vm-1.vmgs ");
  say_last(vm(), "stopped");
  end(vm());
  reopen();
  EXPECT_EQ(next_start(), "none: second");
  EXPECT_FALSE(last_setup().await_serve());

  ASSERT_TRUE(convert_to("host"));
  copy_whole("third");
  EXPECT_EQ(next_start(), "host: third, third key");
  serve(vm());
  EXPECT_EQ(files(), "vm-2.key vm-2.vmgs ");
}

// The registry comes from a backup that is older than the conversion.
TEST_F(HostCopyTest, TheOnlyStoreThereIsStaysThoughTheRegistryNamesAnother) {
  const auto store = folder_.store(vm().id());
  std::filesystem::rename(store, folder_.store(vm().id(), 1));
  std::filesystem::rename(folder_.key(vm().id()), folder_.key(vm().id(), 1));

  reopen();

  EXPECT_EQ(files(), "vm-1.key vm-1.vmgs ");
}

// vtpmd dies, or what it does fails, at each step: one of the two documents counts, with its store,
// and the same request, made again, comes to its end.
TEST_F(HostCopyTest, CutShortAnywhereOneOfTheTwoStoresCounts) {
  const auto before = "host: first, first key";
  ASSERT_TRUE(convert_to("none"));
  instances_.leases.clear();
  reopen();  // before anything was copied
  EXPECT_EQ(next_start(), before);

  ASSERT_TRUE(convert_to("none"));
  make_copy("second");
  instances_.leases.clear();
  reopen();  // before the copy was said to be whole
  EXPECT_EQ(files(), "vm.key vm.vmgs ");
  EXPECT_EQ(next_start(), before);

  ASSERT_TRUE(convert_to("none"));
  std::ofstream(last_setup().conversion().store_path() + ".creating") << "half";
  say_last(vm(), "store-failing", "no space");
  end(vm());
  ASSERT_TRUE(vm().unconverted);
  EXPECT_EQ(vm().unconverted->code, ErrorCode::kIo);
  EXPECT_NE(vm().unconverted->message.find("no space"), std::string::npos);
  EXPECT_EQ(vm().readiness, Readiness::kStopped) << "the VM itself is well";
  EXPECT_EQ(files(), "vm.key vm.vmgs ");
  EXPECT_EQ(next_start(), before);

  ASSERT_TRUE(convert_to("none"));
  make_copy("second");
  end(vm());  // it died
  ASSERT_TRUE(vm().unconverted);
  EXPECT_EQ(vm().unconverted->code, ErrorCode::kUnavailable);
  EXPECT_EQ(next_start(), before);

  ASSERT_TRUE(convert_to("none"));
  EXPECT_FALSE(vm().unconverted);
  make_copy("second");
  host_->converted(vm().id());
  instances_.leases.clear();
  reopen();  // just after the registry has it, and before its instance has ended
  EXPECT_EQ(next_start(), "none: second");
  EXPECT_EQ(files(), "vm-1.vmgs vm.key vm.vmgs ");

  ASSERT_TRUE(host_->start(vm().id()));
  instances_.leases.clear();
  reopen();  // during its first start
  EXPECT_EQ(next_start(), "none: second");
  ASSERT_TRUE(undo(vm()));
  EXPECT_EQ(files(), "vm.key vm.vmgs ");
  EXPECT_EQ(next_start(), before);
}

TEST_F(HostCopyTest, AnInstanceOfAVtpmdThatDiedMayStillBeCopying) {
  ASSERT_TRUE(convert_to("none"));
  make_copy("second");
  reopen();
  EXPECT_EQ(vm().phase, Phase::kDetached);
  EXPECT_EQ(files(), "vm-1.vmgs vm.key vm.vmgs ") << "it may be at work on it";
  EXPECT_FALSE(convert_to("none"));
  instances_.leases.clear();
  host_->holder_ended(vm().id());
  EXPECT_EQ(next_start(), "host: first, first key");
  ASSERT_TRUE(convert_to("none"));
  EXPECT_EQ(files(), "vm.key vm.vmgs ");
  copy_whole("again");
  EXPECT_EQ(next_start(), "none: again");
}

TEST_F(HostCopyTest, NothingCountsThatTheRegistryDoesNotTake) {
  api::ConvertVmRequest request;
  request.mutable_changes()->set_protection("none");
  request.set_allow_weaker(true);
  const auto planned = plan_conversion(vm().document, request);
  const auto refuse = [](const Vm&) -> base::Result<void> {
    return base::fail(ErrorCode::kIo, "as the test said");
  };
  ASSERT_TRUE(host_->convert(vm().id(), *planned, refuse));
  copy_whole("second");
  ASSERT_TRUE(vm().unconverted);
  EXPECT_EQ(vm().unconverted->message, "as the test said");
  EXPECT_EQ(files(), "vm.key vm.vmgs ");
  EXPECT_EQ(next_start(), "host: first, first key");
}

TEST_F(HostCopyTest, GoesBackAsLongAsItHasNotStarted) {
  ASSERT_TRUE(convert_to("none"));
  copy_whole("second");
  // Asked for by its words it is the same as taken back: nothing is copied.
  const auto launched = instances_.setups.size();
  ASSERT_TRUE(convert_to("host"));
  EXPECT_EQ(instances_.setups.size(), launched);
  EXPECT_EQ(vm().phase, Phase::kStopped);
  EXPECT_EQ(next_start(), "host: first, first key");
  EXPECT_EQ(files(), "vm.key vm.vmgs ");

  ASSERT_TRUE(convert_to("none"));
  copy_whole("second");
  serve(vm());
  EXPECT_EQ(undo(vm()).error().code, ErrorCode::kNotFound);
}

TEST_F(HostCopyTest, AVmWithoutAStoreHasNothingToCopy) {
  const auto& other = create_vm("b");
  api::ConvertVmRequest request;
  request.mutable_changes()->set_protection("none");
  request.set_allow_weaker(true);
  const auto launched = instances_.setups.size();
  ASSERT_TRUE(host_->convert(other.id(), *plan_conversion(other.document, request), nothing));
  EXPECT_EQ(instances_.setups.size(), launched);
  EXPECT_EQ(other.phase, Phase::kStopped);
  EXPECT_EQ(other.document.protection, protocol::Protection::kNone);
  serve(other);
  EXPECT_TRUE(last_setup().may_create());
  EXPECT_EQ(last_setup().store_path(), folder_.store(other.id()).string());
}

}  // namespace
}  // namespace vtpm::host

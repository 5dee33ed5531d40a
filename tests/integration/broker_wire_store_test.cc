// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <span>
#include <thread>

#include "tests/integration/broker_wire.h"
#include "vmgs/format/file_id.h"
#include "vmgs/format/file_table.h"
#include "vmgs/format/header.h"
#include "vmgs/format/header_spacing.h"

// What a host does to the bytes of a store whose key a broker has, and what its tenant allows.
namespace tests::integration {
namespace {

namespace fs = std::filesystem;
namespace format = vmgs::format;
using testing::AnyOf;
using testing::HasSubstr;

class BrokerStoreTest : public BrokerWireTest {
 protected:
  // change_entry() changes the slot of a file in the file tables of both generations, which nothing
  // but the encrypted table behind them authenticates.
  static void change_entry(const fs::path& store, format::FileId id,
                           const std::function<void(format::FileEntryLayout&)>& change) {
    auto bytes = content_of(store);
    format::HeaderArea area(reinterpret_cast<const std::byte*>(bytes.data()),
                            format::kHeaderAreaBytes);
    const auto spacing = format::detect_header_spacing(area);
    ASSERT_TRUE(spacing) << spacing.error().message;
    int changed = 0;
    for (const std::size_t slot : {0U, 1U}) {
      const auto header = format::decode_header(format::header_at(area, *spacing, slot));
      if (!header) {
        continue;
      }
      const auto at = std::size_t{header->file_table_block} * format::kBlockBytes +
                      format::index(id) * sizeof(format::FileEntryLayout);
      ASSERT_LE(at + sizeof(format::FileEntryLayout), bytes.size());
      format::FileEntryLayout entry;
      std::memcpy(&entry, bytes.data() + at, sizeof(entry));
      if (entry.allocated_blocks.value() == 0) {
        continue;
      }
      change(entry);
      std::memcpy(bytes.data() + at, &entry, sizeof(entry));
      ++changed;
    }
    EXPECT_GT(changed, 0);
    std::ofstream(store, std::ios::binary) << bytes;
  }

  // What a start makes of a store without this entry, and with one that says it is in plaintext.
  void expect_no_way(const std::string& name, format::FileId id) {
    const auto good = copy(name, "good");
    const auto shut =
        AnyOf("state-damaged", "state-foreign", "state-missing", "stale-state", "forked-state");
    const std::array<std::function<void(format::FileEntryLayout&)>, 2> changes = {
        [](format::FileEntryLayout& entry) { entry = {}; },
        [](format::FileEntryLayout& entry) { entry.attributes = 0; }};
    for (const auto& change : changes) {
      change_entry(store(name), id, change);
      const auto before = content_of(store(name));
      const auto refused = start(name);
      EXPECT_THAT(word(refused), shut) << describe(id) << boost::json::serialize(refused);
      EXPECT_EQ(content_of(store(name)), before) << "nothing is made in its place";
      put(good, store(name));
    }
  }
};

TEST_F(BrokerStoreTest, AnEncryptedFileThatIsAbsentOrInPlaintextKeepsTheStoreShut) {
  const auto id = create_registered("a");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
  }
  power_off("a");

  expect_no_way("a", format::FileId::kTpmNvram);
  expect_no_way("a", format::FileId::kRecord);

  auto hypervisor = boot("a");
  EXPECT_EQ(nv(hypervisor), data_of(1));
  EXPECT_EQ(text(registration(id), "restores"), "0");
}

TEST_F(BrokerStoreTest, TheStateOfATimeComesBackOnceIfTheTenantAllowsIt) {
  const auto id = create_registered("a");
  {
    auto hypervisor = boot("a");
    define_and_write(hypervisor, 1);
  }
  power_off("a");
  const auto old = copy("a", "old");
  const auto line = last_line(id);
  ASSERT_EQ(text(line, "kind"), "closed");
  // The broker counts in seconds: what comes next belongs to a later one.
  std::this_thread::sleep_until(
      std::chrono::ceil<std::chrono::seconds>(std::chrono::system_clock::now()));
  {
    auto hypervisor = boot("a");
    ASSERT_EQ(run(hypervisor, support::nv_write(kIndex, data_of(2))), support::kSuccess);
  }
  power_off("a");
  put(old, store("a"));
  expect("a", "stale-state", "");

  (void)broker_->kbctl_json(tenant_, {"vm", "restore", id, "--point", text(line, "time")});
  {
    auto hypervisor = boot("a");
    EXPECT_EQ(nv(hypervisor), data_of(1));
  }
  EXPECT_EQ(text(registration(id), "restores"), "1");
  power_off("a");
  put(old, store("a"));
  expect("a", "stale-state", "");
}

// A document that pins the host's own broker root, and allows to start without any: the VM's real
// broker is none for it, and its store was sealed for another launch.
TEST_F(BrokerStoreTest, AnotherPinOpensNothing) {
  const auto id = create_registered("a", "allow");
  expect("a", "ready", "");
  power_off("a");
  const auto stolen = copy("a", "stolen");
  const auto evil = impostor(free_port());
  evil->start();
  std::ofstream(folder_ / "evil.pem") << evil->kbctl(operator_, {"status", "--roots"}).out;
  const auto swapped = folder_ / "swapped.launch";
  const auto made = support::run_command(
      {KBCTL, "launch-document", "make", id, "--tee", "sev-snp", "--tenant", kTenant,
       "--broker-root", folder_ / "evil.pem", "--offline", "allow", "--out", swapped});
  ASSERT_EQ(made.status, 0) << made.err;
  const auto other = host("other", road());
  ASSERT_EQ(other->ctl({"create", "a", "--id", id, "--launch-document", swapped, "--leave-stopped"})
                .status,
            0);
  put(stolen, other->text("a", "store_path"));

  const auto shut = start_on(*other, "a");

  EXPECT_EQ(word(shut), "broker-away") << boost::json::serialize(shut);
  EXPECT_THAT(text(shut, "reason"), HasSubstr("does not open"));
  EXPECT_EQ(text(last_line(id), "reason"), "launch-document-other");
  EXPECT_EQ(content_of(other->text("a", "store_path")), content_of(stolen));
  expect("a", "ready", "");
}

}  // namespace
}  // namespace tests::integration

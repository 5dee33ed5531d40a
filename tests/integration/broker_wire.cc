// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/broker_wire.h"

#include <cstdlib>
#include <fstream>
#include <set>

namespace tests::integration {

namespace fs = std::filesystem;
using testing::HasSubstr;

namespace {

std::string measurement_of(const std::string& published) {
  const auto line = published.find("MEASUREMENT");
  const auto begin = published.find(": ", line) + 2;
  return published.substr(begin, published.find('\n', begin) - begin);
}

// A simulated machine and a broker with a tenant. Drawing their keys takes seconds, so that the
// tests of a process share them; each has VMs and a vtpmd of its own.
struct Site {
  support::TempFolder folder;
  std::filesystem::path vendor = folder / "vendor";
  std::string measurement;
  std::shared_ptr<Keybrokerd> broker;

  Site() {
    setenv("STRONGROOM_SIMULATED_MACHINE", (folder / "machine").c_str(), 1);
    const auto published =
        support::run_command({SIMULATED_MACHINE, "publish", vendor, "--tee", "sev-snp"});
    EXPECT_EQ(published.status, 0) << published.err;
    measurement = measurement_of(published.out);
    broker = std::make_shared<Keybrokerd>(folder / "broker", vendor);
    broker->start();
    (void)broker->issue("tenant", "bob", BrokerWireTest::kTenant);
    (void)broker->issue("auditor", "carol");
    (void)broker->issue("hypervisor", "host-1");
    const auto alice = broker->issue("operator", "alice");
    (void)broker->kbctl_json(alice, {"tenant", "create", "acme", "--id", BrokerWireTest::kTenant});
    std::ofstream(folder / "root.pem") << broker->kbctl(alice, {"status", "--roots"}).out;
  }
};

const Site& site() {
  static const Site shared;
  return shared;
}

}  // namespace

BrokerWireTest::BrokerWireTest()
    : vendor_(site().vendor),
      measurement_(site().measurement),
      root_(site().folder / "root.pem"),
      broker_(site().broker),
      operator_(site().folder / "broker/alice"),
      tenant_(site().folder / "broker/bob"),
      auditor_(site().folder / "broker/carol"),
      host_(site().folder / "broker/host-1") {
  policy_ = put_policy(measurement_);
  with_road(road());
}

BrokerWireTest::~BrokerWireTest() {
  if (broker_is_down_) {
    broker_->start();
  }
}

void BrokerWireTest::broker_down() {
  broker_->kill();
  broker_is_down_ = true;
}

void BrokerWireTest::broker_up() {
  broker_->start();
  broker_is_down_ = false;
}

std::unique_ptr<Keybrokerd> BrokerWireTest::impostor(std::uint16_t port) {
  auto broker = std::make_unique<Keybrokerd>(folder_ / "impostor", vendor_, port);
  fs::create_directories(broker->state());
  fs::permissions(broker->state(), fs::perms::owner_all);
  fs::copy(broker_->state() / "tls", broker->state() / "tls", fs::copy_options::recursive);
  fs::permissions(broker->state() / "tls", fs::perms::owner_all);
  return broker;
}

BrokerWireTest::Road BrokerWireTest::road() const {
  return {.endpoint = broker_->url(), .identity = host_, .authorities = host_ / "ca.pem"};
}

std::unique_ptr<Vtpmd> BrokerWireTest::host(const std::string& name, const Road& road) {
  const auto folder = folder_ / name;
  fs::create_directories(folder);
  std::ofstream(folder / "vtpmd.toml")
      << "[broker]\nendpoints = [\"" << road.endpoint << "\"]\ncertificate = \""
      << (road.identity / "certificate.pem").string() << "\"\nkey = \""
      << (road.identity / "key.pem").string() << "\"\nauthorities = \"" << road.authorities.string()
      << "\"\ntimeout = 5\n[log]\nlevel = \"debug\"\n";
  return std::make_unique<Vtpmd>(
      folder, VTPM_INSTANCE_SIM,
      std::vector<std::string>{"--config", (folder / "vtpmd.toml").string()});
}

void BrokerWireTest::with_road(const Road& road) {
  if (vtpmd_) {
    EXPECT_EQ(vtpmd_->stop(), 0) << vtpmd_->log();
    vtpmd_.reset();
  }
  vtpmd_ = host("host", road);
}

std::vector<std::string> BrokerWireTest::options(const std::string& name,
                                                 const std::string& offline) const {
  return {"--tee",     "sev-snp", "--protection",          "broker",
          "--tenant",  kTenant,   "--broker-root",         root_,
          "--offline", offline,   "--launch-document-out", document(name)};
}

std::string BrokerWireTest::create(const std::string& name, const std::string& offline) const {
  return text(vtpmd_->create(name, options(name, offline)), "vm_id");
}

std::string BrokerWireTest::create_registered(const std::string& name,
                                              const std::string& offline) const {
  auto id = create(name, offline);
  register_vm(name);
  return id;
}

void BrokerWireTest::register_vm(const std::string& name) const {
  (void)broker_->kbctl_json(tenant_, {"vm", "register", document(name), "--policy", policy_,
                                      "--root-class", "simulated"});
}

std::string BrokerWireTest::put_policy(const std::string& measurement) const {
  const auto claim = [](const std::string& name, const std::string& value) {
    return R"({"claim": ")" + name + R"(", "equals": )" + value + "}";
  };
  std::ofstream(folder_ / "release.json")
      << R"({"version": "1.0.0", "anyOf": [{"authority": ")" << Keybrokerd::kAuthority
      << R"(", "allOf": [)" << claim("strongroom-root-class", "\"simulated\"") << ", "
      << claim("strongroom-debug", "false") << ", "
      << claim("strongroom-measurement", '"' + measurement + '"') << "]}]}";
  return text(broker_->kbctl_json(tenant_, {"policy", "put", folder_ / "release.json"}), "digest");
}

boost::json::object BrokerWireTest::start_on(const Vtpmd& host, const std::string& name) {
  const auto started = host.ctl({"start", name});
  EXPECT_EQ(started.status, 0) << started.err << host.log();
  const std::set<std::string> passing = {"provisioning", "stopped", "stopping", "ak-cert-missing"};
  Vtpmd::Watch watch(host, {name});
  for (auto change = watch.next(); !change.empty(); change = watch.next()) {
    if (change.contains("vm") && passing.count(Vtpmd::text_in(change, "vm.readiness.name")) == 0) {
      return change.at("vm").at("readiness").as_object();
    }
  }
  ADD_FAILURE() << name << " did not settle\n" << host.log();
  return {{"name", ""}, {"reason", ""}};
}

void BrokerWireTest::expect_on(const Vtpmd& host, const std::string& name,
                               const std::string& wanted, const std::string& reason) {
  const auto readiness = start_on(host, name);
  EXPECT_EQ(word(readiness), wanted) << boost::json::serialize(readiness) << host.log();
  if (!reason.empty()) {
    EXPECT_THAT(text(readiness, "reason"), HasSubstr(reason));
    EXPECT_THAT(text(host.show(name), "readiness.reason"), HasSubstr(reason));
  }
}

void BrokerWireTest::expect(const std::string& name, const std::string& wanted,
                            const std::string& reason) const {
  expect_on(*vtpmd_, name, wanted, reason);
}

support::Hypervisor BrokerWireTest::boot_on(const Vtpmd& host, const std::string& name) {
  auto hypervisor = host.attach(name);
  EXPECT_EQ(run(hypervisor, support::startup_clear()), support::kSuccess);
  return hypervisor;
}

void BrokerWireTest::power_off(const std::string& name) const {
  const auto stopped = vtpmd_->ctl({"stop", name, "--force"});
  EXPECT_EQ(stopped.status, 0) << stopped.err << vtpmd_->log();
}

void BrokerWireTest::crash(const std::string& name) const {
  ::kill(vtpmd_->pid(name), SIGKILL);
  vtpmd_->wait_for(name, "crashed");
}

fs::path BrokerWireTest::copy(const std::string& name, const std::string& as) const {
  fs::copy_file(store(name), folder_ / as, fs::copy_options::overwrite_existing);
  return folder_ / as;
}

void BrokerWireTest::put(const fs::path& copy, const fs::path& place) {
  fs::create_directories(place.parent_path());
  fs::copy_file(copy, place, fs::copy_options::overwrite_existing);
}

boost::json::object BrokerWireTest::registration(const std::string& vm_id) const {
  return broker_->kbctl_json(tenant_, {"vm", "show", vm_id}).at("vm").as_object();
}

boost::json::object BrokerWireTest::last_line(const std::string& vm_id) const {
  const auto listed = broker_->kbctl_json(tenant_, {"releases", "list", vm_id, "--most", "1"});
  const auto* releases = listed.if_contains("releases");
  if (releases == nullptr || releases->as_array().empty()) {
    ADD_FAILURE() << "the log has no line of " << vm_id;
    return {{"kind", ""}, {"reason", ""}};
  }
  return releases->as_array().front().as_object();
}

}  // namespace tests::integration

// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <netinet/in.h>

#include <fstream>
#include <thread>

#include "keybroker/crypto/jwk.h"
#include "keybroker/crypto/private_key.h"
#include "tests/integration/skr_sidecar.h"
#include "tests/integration/vtpmd.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tpm_commands.h"
#include "vmgs/crypto/base64.h"

// A VM that keybrokerd releases its state to, and what its guest gets by the sidecar in it: all of
// it real programs, on a simulated machine.
namespace tests::integration {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::StartsWith;
using vmgs::crypto::Base64;

constexpr const char* kTenant = "11111111-2222-4333-8444-555555555555";

std::string text(const json::object& object, const char* member) {
  const auto* found = object.if_contains(member);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
}

// A port that nobody listens at now.
int free_port() {
  const base::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket.number(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

// GuestDoor lets programs at a TPM that a hypervisor is attached to, as a guest's kernel would: a
// socket at which swtpm's TCTI finds it. One program at a time.
class GuestDoor {
 public:
  GuestDoor(const std::filesystem::path& path, support::Hypervisor& hypervisor)
      : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), hypervisor_(hypervisor) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(listener_.number(), reinterpret_cast<sockaddr*>(&address), sizeof(address)),
              0);
    EXPECT_EQ(::listen(listener_.number(), 8), 0);
    thread_ = std::thread([this] { serve(); });
  }

  GuestDoor(const GuestDoor&) = delete;
  GuestDoor& operator=(const GuestDoor&) = delete;

  ~GuestDoor() {
    ::shutdown(listener_.number(), SHUT_RDWR);
    thread_.join();
  }

 private:
  void serve() {
    for (;;) {
      const base::Descriptor client(::accept(listener_.number(), nullptr, nullptr));
      if (!client.is_open()) {
        return;
      }
      while (pass_on_command(client.number())) {
      }
    }
  }

  bool pass_on_command(int client) {
    base::Bytes command(10);
    if (::recv(client, command.data(), command.size(), MSG_WAITALL) != 10) {
      return false;
    }
    // commandSize is 32 bits wide, and no command of a TPM needs the upper half.
    command.resize(std::to_integer<std::size_t>(command[4]) * 256 +
                   std::to_integer<std::size_t>(command[5]));
    if (command.size() < 10) {
      return false;
    }
    const auto rest = command.size() - 10;
    if (rest != 0 &&
        ::recv(client, command.data() + 10, rest, MSG_WAITALL) != static_cast<ssize_t>(rest)) {
      return false;
    }
    const auto response = hypervisor_.command(command);
    return response && ::send(client, response->data(), response->size(), MSG_NOSIGNAL) ==
                           static_cast<ssize_t>(response->size());
  }

  base::Descriptor listener_;
  support::Hypervisor& hypervisor_;
  std::thread thread_;
};

class KeybrokerdGuestTest : public testing::Test {
 protected:
  KeybrokerdGuestTest() {
    ::setenv("STRONGROOM_SIMULATED_MACHINE", (folder_ / "machine").c_str(), 1);
    run({SIMULATED_MACHINE, "publish", folder_ / "vendor", "--tee", "sev-snp"});
    write("keybrokerd.toml",
          "[folders]\nstate = \"" + (folder_ / "broker").string() + "\"\n[listen]\nport = " +
              std::to_string(port_) + "\n[guests]\nport = " + std::to_string(guest_port_) +
              "\n[policy]\nauthorities = [\"" + issuer() + "\"]\n[evidence]\ncollateral = \"" +
              (folder_ / "vendor/collateral").string() + "\"\nsimulated_roots = \"" +
              (folder_ / "vendor/root.pem").string() + "\"\n");
    issue({"--role", "operator", "--name", "operator"}, "operator");
    issue({"--role", "hypervisor", "--name", "host"}, "host");
    issue({"--role", "tenant", "--tenant", kTenant, "--name", "tenant"}, "tenant");
    broker_.emplace(
        *support::Process::start({KEYBROKERD, "run", "--config", folder_ / "keybrokerd.toml"},
                                 {.output = folder_ / "broker.log"}));
    wait_for_broker();
    kbctl("operator", {"tenant", "create", "tenant", "--id", kTenant});
    start_vm();
  }

  ~KeybrokerdGuestTest() override { ::unsetenv("STRONGROOM_SIMULATED_MACHINE"); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }

  std::string log() const {
    std::ifstream file(folder_ / "broker.log");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  std::string run(const std::vector<std::string>& command) const {
    const auto ran = support::run_command(command);
    EXPECT_EQ(ran.status, 0) << command[0] << " " << command[1] << ": " << ran.out << ran.err
                             << log();
    return ran.out;
  }

  void issue(std::vector<std::string> more, const std::string& name) const {
    more.insert(more.begin(), {KEYBROKERD, "issue", "--config", folder_ / "keybrokerd.toml",
                               "--out", folder_ / name});
    run(more);
  }

  std::string kbctl(const std::string& who, std::vector<std::string> more) const {
    more.insert(more.begin(), KBCTL);
    more.insert(more.end(), {"--broker", "https://127.0.0.1:" + std::to_string(port_), "--identity",
                             folder_ / who});
    return run(more);
  }

  // By asking: that it listens is all that is waited for.
  void wait_for_broker() {
    const auto ran = support::run_command(
        {"/usr/bin/curl", "--silent", "--show-error", "--retry", "60", "--retry-connrefused",
         "--retry-delay", "1", "--cacert", folder_ / "tenant/ca.pem", issuer() + "/certs"});
    EXPECT_EQ(ran.status, 0) << ran.err << log();
  }

  [[nodiscard]] std::string issuer() const {
    return "https://localhost:" + std::to_string(guest_port_);
  }

  [[nodiscard]] std::string get(const std::string& path) const {
    return run({"/usr/bin/curl", "--silent", "--show-error", "--cacert", folder_ / "tenant/ca.pem",
                issuer() + path});
  }

  std::string policy(const std::string& last) {
    write("policy.json",
          R"({"version":"1.0.0","anyOf":[{"authority":")" + issuer() +
              R"(","allOf":[{"claim":"strongroom-root-class","equals":"simulated"},)" + last +
              "]}]}");
    auto digest = kbctl("tenant", {"policy", "put", folder_ / "policy.json"});
    digest.erase(digest.find_last_not_of("\n") + 1);
    return digest;
  }

  void start_vm() {
    write("vtpmd.toml", "[broker]\nendpoints = [\"https://127.0.0.1:" + std::to_string(port_) +
                            "\"]\ncertificate = \"" + (folder_ / "host/certificate.pem").string() +
                            "\"\nkey = \"" + (folder_ / "host/key.pem").string() +
                            "\"\nauthorities = \"" + (folder_ / "host/ca.pem").string() + "\"\n");
    vtpmd_.emplace(folder_ / "host-1", VTPM_INSTANCE_SIM,
                   std::vector<std::string>{"--config", folder_ / "vtpmd.toml"});
    run({"/bin/sh", "-c",
         "openssl x509 -in " + (folder_ / "broker/broker/root.pem").string() + " -out " +
             (folder_ / "root.pem").string()});
    (void)vtpmd_->create(
        "vm", {"--tee", "sev-snp", "--protection", "broker", "--tenant", kTenant, "--broker-root",
               folder_ / "root.pem", "--launch-document-out", folder_ / "vm.launch"});
    kbctl("tenant",
          {"vm", "register", folder_ / "vm.launch", "--policy",
           policy(R"({"claim":"strongroom-debug","equals":false})"), "--root-class", "simulated"});
    hypervisor_.emplace(vtpmd_->attach("vm"));
    EXPECT_EQ(support::response_code(*hypervisor_->command(support::startup_clear())),
              support::kSuccess)
        << vtpmd_->log() << log();
    std::filesystem::create_symlink(vtpmd_->text("vm", "control_socket"), folder_ / "tpm.ctrl");
    door_.emplace(folder_ / "tpm", *hypervisor_);
  }

  [[nodiscard]] SkrSidecar sidecar() const {
    return {folder_.path(),
            "swtpm:path=" + (folder_ / "tpm").string(),
            {"--broker", issuer(), "--ca", folder_ / "tenant/ca.pem", "--snp-certificates",
             folder_ / "vendor/snp-certificates.pem"}};
  }

  support::TempFolder folder_;
  int port_ = free_port();
  int guest_port_ = free_port();
  std::optional<support::Process> broker_;
  std::optional<Vtpmd> vtpmd_;
  std::optional<support::Hypervisor> hypervisor_;
  std::optional<GuestDoor> door_;
};

TEST_F(KeybrokerdGuestTest, AGuestsWorkloadGetsATokenAndItsKey) {
  const auto skr = sidecar();
  const auto key = *keybroker::crypto::PrivateKey::generate_ec(keybroker::crypto::Curve::kP384);
  const auto runtime = json::serialize(
      json::object{{"keys", json::array{keybroker::crypto::encode_jwk(key.public_key())}}});
  const auto asked = skr.post(
      "/attest/maa",
      {{"maa_endpoint", issuer()},
       {"runtime_data", vmgs::crypto::encode_base64(base::bytes_of(runtime), Base64::kPadded)}});
  ASSERT_EQ(asked.status, 200) << json::serialize(asked.body) << log();
  EXPECT_THAT(text(asked.body, "token"), StartsWith("ey"));

  // Who relies on tokens finds the keys by the issuer alone.
  const auto found = json::parse(get("/.well-known/openid-configuration")).as_object();
  EXPECT_EQ(text(found, "issuer"), issuer());
  EXPECT_EQ(text(found, "jwks_uri"), issuer() + "/certs");
  EXPECT_EQ(json::parse(get("/certs")).at("keys").as_array().size(), 1U);

  write("secret", std::string(32, 'S'));
  std::filesystem::permissions(folder_ / "secret", std::filesystem::perms::owner_read);
  kbctl("tenant", {"key", "import", "disk", "--from", folder_ / "secret", "--policy",
                   policy(R"({"claim":"strongroom-freshness","equals":"fresh"})")});
  kbctl("tenant", {"key", "create", "shut", "--policy",
                   policy(R"({"claim":"strongroom-debug","equals":true})")});
  EXPECT_THAT(kbctl("tenant", {"key", "list"}), HasSubstr("disk/1  oct"));

  const auto release = [&](const char* name) {
    return skr.post("/key/release",
                    {{"maa_endpoint", issuer()}, {"akv_endpoint", issuer()}, {"kid", name}});
  };
  const auto disk = release("disk");
  ASSERT_EQ(disk.status, 200) << json::serialize(disk.body) << log();
  EXPECT_EQ(text(disk.body.at("key").as_object(), "k"),
            vmgs::crypto::encode_base64(base::bytes_of(std::string(32, 'S')), Base64::kUrl));
  const auto shut = release("shut");
  EXPECT_EQ(shut.status, 403);
  EXPECT_THAT(text(shut.body, "error"), HasSubstr("policy-denied"));
  const auto none = release("state");
  EXPECT_EQ(none.status, 403);
  EXPECT_THAT(text(none.body, "error"), HasSubstr("key-unknown"));
  EXPECT_EQ(log().find("SSSSSSSS"), std::string::npos);

  kbctl("tenant", {"key", "delete", "disk"});
  EXPECT_THAT(text(release("disk").body, "error"), HasSubstr("key-unknown"));
}

}  // namespace
}  // namespace tests::integration

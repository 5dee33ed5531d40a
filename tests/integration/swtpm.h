// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/process.h"
#include "vmgs/base/bytes.h"
#include "vmgs/base/cursor.h"

namespace tests::integration {

// Swtpm is a TPM that is not ours, for what must work with any: swtpm in a folder of the test,
// started up, and tpm2-tools that talk to it. It is killed when this dies.
class Swtpm {
 public:
  explicit Swtpm(std::filesystem::path folder)
      : folder_(std::move(folder)),
        process_(*support::Process::start(
            {"swtpm", "socket", "--tpm2", "--tpmstate", "dir=" + folder_.string(), "--flags",
             "not-need-init,startup-clear", "--server", "type=unixio,path=" + path("tpm"), "--ctrl",
             "type=unixio,path=" + path("tpm.ctrl")})) {
    for (const char* socket : {"tpm", "tpm.ctrl"}) {
      EXPECT_TRUE(support::wait_for_socket(folder_ / socket, process_, std::chrono::seconds(20)));
    }
    ::setenv("TPM2TOOLS_TCTI", tcti().c_str(), 1);
  }

  [[nodiscard]] std::string tcti() const { return "swtpm:path=" + path("tpm"); }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }

  // run() runs one of tpm2-tools, which must succeed.
  static void run(std::vector<std::string> arguments) {
    arguments.front() = "/usr/bin/tpm2_" + arguments.front();
    const auto ran = support::run_command(arguments);
    ASSERT_EQ(ran.status, 0) << arguments.front() << ": " << ran.err;
  }

  // make_ak() persists an AK at 0x81000003 by the template of Azure's vTPMs and ours.
  void make_ak() const {
    run({"createprimary", "-Q", "-C", "e", "-g", "sha256", "-G", "rsa2048:rsassa-sha256:null", "-a",
         "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign", "-c",
         path("ak.ctx")});
    run({"evictcontrol", "-Q", "-C", "o", "-c", path("ak.ctx"), "0x81000003"});
    run({"flushcontext", "-Q", "-t"});
  }

  // public_area() is the TPMT_PUBLIC of a persistent key.
  [[nodiscard]] base::Bytes public_area(const std::string& handle) const {
    run({"readpublic", "-Q", "-c", handle, "-f", "tss", "-o", path("public")});
    return base::copy_of(base::ByteView(file("public")).subspan(2));
  }

  // activate() has the AK and the EK at 0x81010001 unwrap a credential: the contents of a
  // TPM2B_ID_OBJECT and of a TPM2B_ENCRYPTED_SECRET.
  [[nodiscard]] base::Bytes activate(base::ByteView id_object,
                                     base::ByteView encrypted_secret) const {
    base::Writer out;  // the form in which tpm2-tools keep it
    out.u32_be(0xBADCC0DE);
    out.u32_be(1);
    for (const auto part : {id_object, encrypted_secret}) {
      out.u16_be(static_cast<std::uint16_t>(part.size()));
      out.bytes(part);
    }
    std::ofstream(path("credential"), std::ios::binary)
        .write(reinterpret_cast<const char*>(out.written().data()),
               static_cast<std::streamsize>(out.size()));
    run({"startauthsession", "-Q", "--policy-session", "-S", path("session")});
    run({"policysecret", "-Q", "-S", path("session"), "-c", "e"});
    run({"activatecredential", "-Q", "-c", "0x81000003", "-C", "0x81010001", "-i",
         path("credential"), "-o", path("secret"), "-P", "session:" + path("session")});
    run({"flushcontext", "-Q", path("session")});
    return file("secret");
  }

  // file() is what one of the tools wrote.
  [[nodiscard]] base::Bytes file(const std::string& name) const {
    std::ifstream in(folder_ / name, std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    return base::copy_of(base::bytes_of(text));
  }

 private:
  std::filesystem::path folder_;
  support::Process process_;
};

}  // namespace tests::integration

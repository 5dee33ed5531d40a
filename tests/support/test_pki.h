// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "keybroker/crypto/issue.h"

namespace tests::support {

// TestPki is a certification authority of a test, which issues to callers and services. It ends the
// process if something cannot be made.
class TestPki {
 public:
  // What a certificate is to say beside its subject.
  struct Leaf {
    keybroker::crypto::DistinguishedName subject;
    std::vector<std::string> dns_names{};
    bool loopback_address = false;  // 127.0.0.1 and ::1 are alternative names
    bool for_clients = false;       // extended key usage: client, else server
    std::chrono::seconds begins{-3600};
    std::chrono::seconds ends{3600};
  };

  struct Files {
    std::filesystem::path certificate;
    std::filesystem::path key;  // mode 0600
    base::Bytes serial;
  };

  // Files go into `folder`, which exists: NAME-ca.pem now, NAME-ca.crl by revoke().
  TestPki(std::filesystem::path folder, std::string name);

  [[nodiscard]] std::filesystem::path authorities() const;

  // issue() makes a P-256 key and its certificate, FILE.pem and FILE.key.
  Files issue(const std::string& file, const Leaf& leaf);

  // service() is a certificate for localhost and its addresses, caller() one of that subject.
  Files service(const std::string& file);
  Files caller(const std::string& file, keybroker::crypto::DistinguishedName subject);

  // revoke() writes a list with these serial numbers, and gives its file.
  std::filesystem::path revoke(const std::vector<base::Bytes>& serials);

 private:
  std::filesystem::path folder_;
  std::string name_;
  keybroker::crypto::PrivateKey key_;
  unsigned issued_ = 1;
};

}  // namespace tests::support

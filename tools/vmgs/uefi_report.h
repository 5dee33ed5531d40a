// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/vmgs/store.h"
#include "vmgs/base/result.h"
#include "vmgs/uefi/variable.h"

namespace tools::vmgs {

// UefiVariables are those that a store holds: in the image of a flash (UEFI_FLASH) or, of a store
// that others made, in BIOS_NVRAM.
struct UefiVariables {
  ::vmgs::format::FileId from = ::vmgs::format::FileId::kUefiFlash;
  std::uint64_t store_bytes = 0;  // what there is room for
  std::uint64_t used_bytes = 0;
  std::vector<::vmgs::uefi::Variable> all;
};

// decode_uefi_variables() reads the content of one of the two files. kNotFound for a blank flash;
// kCorrupt for what cannot be read; kInvalidArgument for another file.
base::Result<UefiVariables> decode_uefi_variables(::vmgs::format::FileId id,
                                                  base::ByteView content);

// read_uefi_variables() is kNotFound for a store without any, and for a blank flash; kCorrupt for
// one that cannot be read; errors of reading the store.
base::Result<UefiVariables> read_uefi_variables(const OpenStore& store);

// The same of files that `read` gives; kNotFound from it means that there is no such file.
using FileReader = std::function<base::Result<base::SecretBytes>(::vmgs::format::FileId)>;
base::Result<UefiVariables> read_uefi_variables(const FileReader& read);

// One entry of a signature database, as far as it can be read.
struct EnrolledSignature {
  std::string type;   // "x509", "sha256", or the GUID of another
  std::string owner;  // a GUID

  // Of a certificate: its names, dates and SHA-256. Of a hash: the hash alone.
  std::string subject;
  std::string issuer;
  std::string not_before;
  std::string not_after;
  std::string sha256;
  std::string trouble;  // why a certificate cannot be read
};

struct SignatureDatabase {
  std::string name;  // PK, KEK, db, dbx, ...
  std::vector<EnrolledSignature> signatures;
  std::string trouble;  // why it cannot be read
};

struct BootEntry {
  std::string name;  // Boot0000
  std::string description;
  bool is_active = false;
  bool is_in_order = false;
  std::string trouble;
};

// UefiReport is what these variables mean to firmware.
struct UefiReport {
  // "on"; "off", though keys are enrolled; "setup-mode", without a platform key.
  std::string secure_boot;
  std::vector<SignatureDatabase> databases;  // those that are there
  std::vector<BootEntry> boot;  // in the order in which firmware tries them, then others
  std::string boot_trouble;
};

UefiReport report_on(const UefiVariables& variables);

// to_json() and to_text() say all of it; with `all`, deleted variables too.
boost::json::object to_json(const UefiVariables& variables, const UefiReport& report, bool all);
std::string to_text(const UefiVariables& variables, const UefiReport& report, bool all);

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#include "tools/vmgs/uefi_report.h"

#include <algorithm>
#include <set>

#include "keybroker/crypto/certificate.h"
#include "keybroker/evidence/signature_database.h"
#include "vmgs/uefi/bios_nvram.h"
#include "vmgs/uefi/boot_option.h"
#include "vmgs/uefi/flash.h"

namespace tools::vmgs {

namespace uefi = ::vmgs::uefi;
using base::ErrorCode;
using uefi::Variable;
using ::vmgs::format::FileId;

namespace {

using Current = std::vector<const Variable*>;

const Variable* find(const Current& variables, const uefi::Guid& vendor, std::u16string_view name) {
  const auto found = std::find_if(variables.begin(), variables.end(), [&](const Variable* each) {
    return each->vendor == vendor && each->name == name;
  });
  return found == variables.end() ? nullptr : *found;
}

EnrolledSignature describe(const keybroker::evidence::EfiSignature& signature) {
  EnrolledSignature told;
  told.owner = uefi::to_string(signature.owner);
  if (signature.is_sha256()) {
    told.type = "sha256";
    told.sha256 = base::to_hex(signature.content);
  } else if (signature.is_certificate()) {
    told.type = "x509";
    const auto certificate = keybroker::crypto::Certificate::decode(signature.content);
    if (!certificate) {
      told.trouble = certificate.error().message;
      return told;
    }
    told.subject = certificate->subject();
    told.issuer = certificate->issuer();
    told.not_before = keybroker::crypto::to_text(certificate->not_before());
    told.not_after = keybroker::crypto::to_text(certificate->not_after());
    told.sha256 = base::to_hex(certificate->fingerprint());
  } else {
    told.type = uefi::to_string(signature.type);
  }
  return told;
}

SignatureDatabase describe(const Variable& variable) {
  SignatureDatabase database;
  database.name = uefi::text_of(variable.name);
  const auto signatures = keybroker::evidence::decode_signature_database(variable.data);
  if (!signatures) {
    database.trouble = signatures.error().message;
    return database;
  }
  for (const auto& signature : *signatures) {
    database.signatures.push_back(describe(signature));
  }
  return database;
}

// EDK2 keeps its own switch beside the keys; where there is none yet, it puts it on.
std::string secure_boot_state(const Current& variables) {
  const auto* key = find(variables, uefi::kGlobalVariable, u"PK");
  if (key == nullptr || key->data.empty()) {
    return "setup-mode";
  }
  const auto* enabled = find(variables, uefi::kSecureBootEnableDisable, u"SecureBootEnable");
  const bool is_off =
      enabled != nullptr && enabled->data.size() == 1 && enabled->data[0] == std::byte{0};
  return is_off ? "off" : "on";
}

bool is_boot_option(const Variable& variable) {
  constexpr std::u16string_view kDigits = u"0123456789ABCDEF";
  return variable.vendor == uefi::kGlobalVariable && variable.name.size() == 8 &&
         variable.name.starts_with(u"Boot") &&
         std::all_of(variable.name.begin() + 4, variable.name.end(), [&](char16_t each) {
           return kDigits.find(each) != std::u16string_view::npos;
         });
}

BootEntry describe_option(const Variable& variable, bool is_in_order) {
  BootEntry entry;
  entry.name = uefi::text_of(variable.name);
  entry.is_in_order = is_in_order;
  const auto option = uefi::decode_boot_option(variable.data);
  if (!option) {
    entry.trouble = option.error().message;
    return entry;
  }
  entry.description = uefi::text_of(option->description);
  entry.is_active = option->is_active;
  return entry;
}

void describe_boot(const Current& variables, UefiReport& report) {
  std::set<const Variable*> told;
  if (const auto* order = find(variables, uefi::kGlobalVariable, u"BootOrder")) {
    const auto numbers = uefi::decode_boot_order(order->data);
    report.boot_trouble = numbers ? "" : "BootOrder: " + numbers.error().message;
    for (const auto number : numbers.value_or(std::vector<std::uint16_t>())) {
      const auto name = uefi::boot_option_name(number);
      const auto* option = find(variables, uefi::kGlobalVariable, name);
      if (option == nullptr) {
        BootEntry missing;
        missing.name = uefi::text_of(name);
        missing.is_in_order = true;
        missing.trouble = "there is no such variable";
        report.boot.push_back(std::move(missing));
      } else if (told.insert(option).second) {
        report.boot.push_back(describe_option(*option, true));
      }
    }
  }
  for (const auto* each : variables) {
    if (is_boot_option(*each) && told.insert(each).second) {
      report.boot.push_back(describe_option(*each, false));
    }
  }
}

}  // namespace

base::Result<UefiVariables> decode_uefi_variables(FileId id, base::ByteView content) {
  UefiVariables variables;
  variables.from = id;
  switch (id) {
    case FileId::kUefiFlash: {
      TRY_ASSIGN(flash, uefi::decode_flash(content));
      variables.store_bytes = flash.store_bytes;
      variables.used_bytes = flash.used_bytes;
      variables.all = std::move(flash.variables);
      return variables;
    }
    case FileId::kBiosNvram: {
      TRY_ASSIGN(records, uefi::decode_bios_nvram(content));
      variables.store_bytes = uefi::kMaxBiosNvramBytes;
      variables.used_bytes = content.size();
      variables.all = std::move(records);
      return variables;
    }
    default:
      return base::fail(ErrorCode::kInvalidArgument,
                        ::vmgs::format::describe(id) + " holds no UEFI variables");
  }
}

base::Result<UefiVariables> read_uefi_variables(const OpenStore& store) {
  return read_uefi_variables([&](FileId id) { return store.volume.read(id); });
}

base::Result<UefiVariables> read_uefi_variables(const FileReader& read) {
  for (const auto id : {FileId::kUefiFlash, FileId::kBiosNvram}) {
    auto content = read(id);
    if (!content && content.error().code == ErrorCode::kNotFound) {
      continue;
    }
    const auto named = [&](base::Error error) {
      return base::fail(std::move(error).context(::vmgs::format::describe(id)));
    };
    if (!content) {
      return named(content.error());
    }
    auto variables = decode_uefi_variables(id, content->expose());
    if (!variables) {
      return named(std::move(variables).error());
    }
    return variables;
  }
  return base::fail(ErrorCode::kNotFound, "the store holds no UEFI variables");
}

UefiReport report_on(const UefiVariables& variables) {
  const auto current = uefi::current(variables.all);
  UefiReport report;
  report.secure_boot = secure_boot_state(current);
  const std::pair<uefi::Guid, std::u16string_view> databases[] = {
      {uefi::kGlobalVariable, u"PK"},         {uefi::kGlobalVariable, u"KEK"},
      {uefi::kImageSecurityDatabase, u"db"},  {uefi::kImageSecurityDatabase, u"dbx"},
      {uefi::kImageSecurityDatabase, u"dbt"}, {uefi::kImageSecurityDatabase, u"dbr"}};
  for (const auto& [vendor, name] : databases) {
    if (const auto* variable = find(current, vendor, name)) {
      report.databases.push_back(describe(*variable));
    }
  }
  describe_boot(current, report);
  return report;
}

}  // namespace tools::vmgs

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/variable.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <sstream>
#include <utility>

#include "vmgs/base/cursor.h"
#include "vmgs/format/vm_id.h"

namespace vmgs::uefi {

namespace {

Guid guid_of(std::string_view text) { return format::guid_bytes(*format::parse_vm_id(text)); }

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 8> kAttributeNames = {{
    {0x01, "NON_VOLATILE"},
    {0x02, "BOOTSERVICE_ACCESS"},
    {0x04, "RUNTIME_ACCESS"},
    {0x08, "HARDWARE_ERROR_RECORD"},
    {0x10, "AUTHENTICATED_WRITE_ACCESS"},
    {0x20, "TIME_BASED_AUTHENTICATED_WRITE_ACCESS"},
    {0x40, "APPEND_WRITE"},
    {0x80, "ENHANCED_AUTHENTICATED_ACCESS"},
}};

// Names as the UEFI specification, EDK2 and shim have them.
const std::map<Guid, std::string_view>& vendors() {
  static const std::map<Guid, std::string_view> known = {
      {kGlobalVariable, "EFI_GLOBAL_VARIABLE"},
      {kImageSecurityDatabase, "EFI_IMAGE_SECURITY_DATABASE"},
      {kSecureBootEnableDisable, "EFI_SECURE_BOOT_ENABLE_DISABLE"},
      {guid_of("c076ec0c-7028-4399-a072-71ee5c448b9f"), "EFI_CUSTOM_MODE_ENABLE"},
      {guid_of("9073e4e0-60ec-4b6e-9903-4c223c260f3c"), "EFI_VENDOR_KEYS_NV"},
      {guid_of("d9bee56e-75dc-49d9-b4d7-b534210f637a"), "EFI_CERT_DB"},
      {guid_of("4c19049f-4137-4dd3-9c10-8b97a83ffdfa"), "EFI_MEMORY_TYPE_INFORMATION"},
      {guid_of("eb704011-1402-11d3-8e77-00a0c969723b"), "MTC_VENDOR"},
      {guid_of("378d7b65-8da9-4773-b6e4-a47826a833e1"), "EFI_RTC_VARIABLE"},
      {guid_of("605dab50-e046-4300-abb6-3dd810dd8b23"), "SHIM_LOCK"},
      {guid_of("4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), "SYSTEMD_LOADER"},
      {guid_of("77fa9abd-0359-4d32-bd60-28f4e78f784b"), "MICROSOFT"},
      {guid_of("04b37fe8-f6ae-480b-bdd5-37d98c5e89aa"), "EDKII_VAR_ERROR_FLAG"},
      {guid_of("59324945-ec44-4c0d-b1cd-9db139df070c"), "EFI_ISCSI_INITIATOR_NAME_PROTOCOL"},
      {guid_of("937fe521-95ae-4d1a-8929-48bcd90ad31a"), "EFI_IP6_CONFIG"},
      {guid_of("5b446ed1-e30b-4faa-871a-3654eca36080"), "EFI_IP4_CONFIG2"},
      {guid_of("9fb9a8a1-2f4a-43a6-889c-d0f7b6c47ad5"), "EFI_DHCP6_SERVICE_BINDING_PROTOCOL"},
  };
  return known;
}

void append_utf8(std::string& out, char32_t character) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xc0 | character >> 6);
    put(0x80 | (character & 0x3f));
  } else {
    put(0xe0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  }
}

}  // namespace

const Guid kGlobalVariable = guid_of("8be4df61-93ca-11d2-aa0d-00e098032b8c");
const Guid kImageSecurityDatabase = guid_of("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
const Guid kSecureBootEnableDisable = guid_of("f0a30bc7-af08-4556-99c4-001009c93a44");

std::string to_string(const Guid& guid) { return format::to_string(format::vm_id_of_guid(guid)); }

std::string_view known_name(const Guid& guid) {
  const auto found = vendors().find(guid);
  return found == vendors().end() ? std::string_view() : found->second;
}

std::vector<std::string> attribute_names(std::uint32_t attributes) {
  std::vector<std::string> names;
  for (const auto& [bit, name] : kAttributeNames) {
    if ((attributes & bit) != 0) {
      names.emplace_back(name);
      attributes &= ~bit;
    }
  }
  if (attributes != 0) {
    std::ostringstream rest;
    rest << "0x" << std::hex << attributes;
    names.push_back(rest.str());
  }
  return names;
}

std::string_view name(State state) {
  switch (state) {
    case State::kCurrent:
      return "current";
    case State::kBeingReplaced:
      return "being-replaced";
    case State::kDeleted:
      return "deleted";
    case State::kIncomplete:
      return "incomplete";
  }
  return {};
}

std::string text_of(std::u16string_view text) {
  std::string out;
  for (const char16_t unit : text) {
    const bool is_surrogate = unit >= 0xd800 && unit < 0xe000;
    append_utf8(out, is_surrogate ? 0xfffd : unit);
  }
  return out;
}

base::Result<std::u16string> decode_name(base::ByteView bytes) {
  base::Reader reader(bytes);
  std::u16string name;
  char16_t last = 1;
  bool ended = false;
  while (!reader.empty()) {
    TRY_ASSIGN(unit, reader.u16_le());
    last = unit;
    ended = ended || unit == 0;
    if (!ended) {
      name.push_back(unit);
    }
  }
  if (last != 0) {
    return base::fail(base::ErrorCode::kCorrupt, "a name does not end with a zero");
  }
  return name;
}

base::Bytes encode_name(std::u16string_view name) {
  base::Writer writer;
  for (const char16_t unit : name) {
    writer.u16_le(unit);
  }
  writer.u16_le(0);
  return std::move(writer).take();
}

base::Result<std::u16string> parse_name(std::string_view text) {
  const auto wrong = [&] {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "\"" + std::string(text) + "\" is no name of a variable");
  };
  std::u16string name;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 0x6 ? 2 : lead >> 4 == 0xe ? 3 : 0;
    if (length == 0 || length > text.size() - i) {
      return wrong();
    }
    char32_t character = length == 1 ? lead : lead & (0xffU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) {
        return wrong();
      }
      character = character << 6 | (next & 0x3f);
    }
    const bool is_surrogate = character >= 0xd800 && character < 0xe000;
    if (character == 0 || is_surrogate || (length == 2 && character < 0x80) ||
        (length == 3 && character < 0x800)) {
      return wrong();
    }
    name.push_back(static_cast<char16_t>(character));
    i += length;
  }
  return name.empty() ? base::Result<std::u16string>(wrong()) : name;
}

base::Result<Guid> parse_guid(std::string_view text) {
  for (const auto& [guid, name] : vendors()) {
    if (name == text) {
      return guid;
    }
  }
  const auto parsed = format::parse_vm_id(text);
  if (!parsed) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "\"" + std::string(text) +
                          "\" is no GUID such as 8be4df61-93ca-11d2-aa0d-00e098032b8c, nor the "
                          "name of one that is known here");
  }
  return format::guid_bytes(*parsed);
}

std::vector<const Variable*> current(const std::vector<Variable>& variables) {
  std::map<std::pair<Guid, std::u16string_view>, const Variable*> found;
  for (const auto& variable : variables) {
    if (variable.state != State::kCurrent && variable.state != State::kBeingReplaced) {
      continue;
    }
    auto& slot = found[{variable.vendor, variable.name}];
    if (slot == nullptr || variable.state == State::kCurrent ||
        slot->state == State::kBeingReplaced) {
      slot = &variable;
    }
  }
  std::vector<const Variable*> result;
  for (const auto& variable : variables) {
    const auto slot = found.find({variable.vendor, variable.name});
    if (slot != found.end() && slot->second == &variable) {
      result.push_back(&variable);
    }
  }
  return result;
}

}  // namespace vmgs::uefi

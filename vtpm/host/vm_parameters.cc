// SPDX-License-Identifier: Apache-2.0
#include "vtpm/host/vm_parameters.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "vmgs/base/bytes.h"
#include "vmgs/crypto/digest.h"
#include "vmgs/format/uefi_flash.h"

namespace vtpm::host {

namespace {

namespace protocol = keybroker::protocol;
namespace api = strongroom::host::v1;
using base::ErrorCode;
using vmgs::format::VmId;

constexpr std::size_t kMaxNameBytes = 63;

bool is_name(std::string_view text) {
  const auto is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= kMaxNameBytes && is_alphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
         });
}

base::Result<protocol::Sha256Digest> parse_digest(std::string_view field, std::string_view text) {
  const auto bytes = base::from_hex(text);
  protocol::Sha256Digest digest{};
  if (!bytes || bytes->size() != digest.size()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      std::string(field) + " is not a SHA-256 digest of 64 hexadecimal digits");
  }
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

base::Result<VmId> parse_uuid(std::string_view field, std::string_view text) {
  auto id = vmgs::format::parse_vm_id(text);
  if (!id) {
    return base::fail(std::move(id).error().context(field));
  }
  return id;
}

// What follows from the words that were left out.
protocol::Protection default_protection(const protocol::LaunchDocument& document) {
  if (document.lifetime == protocol::Lifetime::kEphemeral) {
    return protocol::Protection::kNone;
  }
  return document.tee_family == protocol::TeeFamily::kNone ? protocol::Protection::kHost
                                                           : protocol::Protection::kHardware;
}

base::Result<protocol::LaunchDocument> decode_words(const api::VmParameters& words) {
  protocol::LaunchDocument document;
  if (!words.tee().empty()) {
    TRY_ASSIGN(family, protocol::parse_tee_family(words.tee()));
    document.tee_family = family;
  }
  if (!words.lifetime().empty()) {
    TRY_ASSIGN(lifetime, protocol::parse_lifetime(words.lifetime()));
    document.lifetime = lifetime;
  }
  document.protection = default_protection(document);
  if (!words.protection().empty()) {
    TRY_ASSIGN(protection, protocol::parse_protection(words.protection()));
    document.protection = protection;
  }
  if (!words.offline_rule().empty()) {
    TRY_ASSIGN(rule, protocol::parse_offline_rule(words.offline_rule()));
    document.offline_rule = rule;
  }
  if (document.protection == protocol::Protection::kBroker) {
    // Whoever releases the key bears witness as well.
    document.anchor_class = protocol::AnchorClass::kBoot;
  }
  if (!words.anchor_class().empty()) {
    TRY_ASSIGN(anchor, protocol::parse_anchor_class(words.anchor_class()));
    document.anchor_class = anchor;
  }
  if (!words.lease().empty()) {
    TRY_ASSIGN(lease, protocol::parse_lease(words.lease()));
    document.lease = lease;
  }
  document.anchor_interval_seconds = words.anchor_interval_seconds();
  return document;
}

base::Result<void> decode_values(const api::VmParameters& words,
                                 protocol::LaunchDocument& document) {
  if (!words.tenant().empty()) {
    TRY_ASSIGN(tenant, parse_uuid("tenant", words.tenant()));
    document.tenant = tenant.bytes;
  }
  for (const auto& text : words.broker_root_hashes()) {
    TRY_ASSIGN(hash, parse_digest("broker_root_hashes", text));
    document.broker_root_hashes.push_back(hash);
  }
  // In the document they ascend, so that there is one encoding; people need not know that.
  std::sort(document.broker_root_hashes.begin(), document.broker_root_hashes.end());
  if (!words.secure_boot_template_digest().empty()) {
    TRY_ASSIGN(digest,
               parse_digest("secure_boot_template_digest", words.secure_boot_template_digest()));
    document.secure_boot_template_digest = digest;
  }
  if (!words.policy_digest().empty()) {
    TRY_ASSIGN(digest, parse_digest("policy_digest", words.policy_digest()));
    document.policy_digest = digest;
  }
  return {};
}

base::Result<void> decode_document(const api::CreateVmRequest& request, VmSpec& spec) {
  if (request.parameters().ByteSizeLong() != 0) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a finished launch document leaves no room for parameters: give one of them");
  }
  TRY_ASSIGN(document, protocol::decode_launch_document(base::bytes_of(request.launch_document())));
  if (spec.id_is_given && document.vm_id != spec.document.vm_id) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the launch document is of VM " + to_string(VmId{document.vm_id}) +
                          ", not of " + to_string(VmId{spec.document.vm_id}));
  }
  spec.id_is_given = true;
  spec.document = std::move(document);
  return {};
}

base::Result<bool> decode_durability(const api::CreateVmRequest& request,
                                     const protocol::LaunchDocument& document) {
  const auto& word = request.durability();
  if (!word.empty() && document.lifetime == protocol::Lifetime::kEphemeral) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "durability is of the store, and an ephemeral VM has none");
  }
  for (const bool strict : {false, true}) {
    if (word == durability_name(strict)) {
      return strict;
    }
  }
  if (!word.empty()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "durability is one-barrier or strict, not '" + word + "'");
  }
  return false;
}

// One field of the parameters as people would say it.
std::string text_of(const api::VmParameters& words,
                    const google::protobuf::FieldDescriptor& field) {
  const auto* reflection = words.GetReflection();
  if (field.is_repeated()) {
    std::string all;
    for (int i = 0; i < reflection->FieldSize(words, &field); ++i) {
      all += (i == 0 ? "" : ",") + reflection->GetRepeatedString(words, &field, i);
    }
    return all;
  }
  if (field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT32) {
    return std::to_string(reflection->GetUInt32(words, &field));
  }
  return reflection->GetString(words, &field);
}

std::string quoted(const std::string& text) { return text.empty() ? "absent" : "'" + text + "'"; }

}  // namespace

namespace {

// The launch document may say which variables they have to be; a sentence now is worth more than a
// TPM that does not start.
base::Result<void> decode_variables(const api::CreateVmRequest& request, VmSpec& spec) {
  const auto image = base::bytes_of(request.variables());
  if (!image.empty()) {
    TRY(vmgs::format::expect_flash_size(image.size()));
  }
  const auto& demanded = spec.document.secure_boot_template_digest;
  if (!image.empty() && demanded && vmgs::crypto::sha256(image) != *demanded) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the variables are not those that secure_boot_template_digest demands");
  }
  spec.variables = base::copy_of(image);
  return {};
}

}  // namespace

base::Result<bool> decode_state_blobs(const std::string& word,
                                      const protocol::LaunchDocument& document) {
  if (word == "plain" && document.tee_family != protocol::TeeFamily::kNone) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "the TPM's state of a confidential VM does not leave through its host: leave "
                      "state_blobs out");
  }
  if (word != "plain" && word != "sealed") {
    return base::fail(ErrorCode::kInvalidArgument,
                      "state_blobs is sealed or plain, not '" + word + "'");
  }
  return word == "plain";
}

base::Result<VmSpec> decode_spec(const api::CreateVmRequest& request, const VmId& drawn) {
  VmSpec spec;
  spec.document.vm_id = drawn.bytes;
  if (!request.vm_id().empty()) {
    TRY_ASSIGN(id, parse_uuid("vm_id", request.vm_id()));
    spec.id_is_given = true;
    spec.document.vm_id = id.bytes;
  }
  if (!request.launch_document().empty()) {
    TRY(decode_document(request, spec));
  } else {
    const auto id = spec.document.vm_id;
    TRY_ASSIGN(document, decode_words(request.parameters()));
    TRY(decode_values(request.parameters(), document));
    spec.document = std::move(document);
    spec.document.vm_id = id;
    TRY(protocol::check(spec.document));
  }
  TRY_ASSIGN(strict, decode_durability(request, spec.document));
  spec.strict_durability = strict;
  if (!request.state_blobs().empty()) {
    TRY_ASSIGN(plain, decode_state_blobs(request.state_blobs(), spec.document));
    spec.plain_state_blobs = plain;
  }
  TRY(decode_variables(request, spec));
  const auto id_text = to_string(VmId{spec.document.vm_id});
  spec.name = request.name().empty() ? id_text : request.name();
  if (!is_name(spec.name)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "'" + spec.name +
                          "' is no name for a VM: letters, digits, '.', '_' and '-', at most 63, "
                          "beginning with a letter or digit");
  }
  if (vmgs::format::parse_vm_id(spec.name) && spec.name != id_text) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "'" + spec.name + "' is the id of another VM, so it cannot be a name");
  }
  return spec;
}

api::VmParameters parameters_of(const protocol::LaunchDocument& document) {
  api::VmParameters words;
  words.set_tee(std::string(name(document.tee_family)));
  words.set_protection(std::string(name(document.protection)));
  words.set_lifetime(std::string(name(document.lifetime)));
  if (document.tenant) {
    words.set_tenant(to_string(VmId{*document.tenant}));
  }
  for (const auto& hash : document.broker_root_hashes) {
    words.add_broker_root_hashes(base::to_hex(hash));
  }
  words.set_offline_rule(std::string(name(document.offline_rule)));
  words.set_anchor_class(std::string(name(document.anchor_class)));
  words.set_anchor_interval_seconds(document.anchor_interval_seconds);
  words.set_lease(std::string(name(document.lease)));
  if (document.secure_boot_template_digest) {
    words.set_secure_boot_template_digest(base::to_hex(*document.secure_boot_template_digest));
  }
  if (document.policy_digest) {
    words.set_policy_digest(base::to_hex(*document.policy_digest));
  }
  return words;
}

base::Result<protocol::LaunchDocument> changed_by(const protocol::LaunchDocument& document,
                                                  const api::VmParameters& words) {
  auto all = parameters_of(document);
  if (words.broker_root_hashes_size() != 0) {
    all.clear_broker_root_hashes();
  }
  all.MergeFrom(words);
  TRY_ASSIGN(changed, decode_words(all));
  TRY(decode_values(all, changed));
  changed.vm_id = document.vm_id;
  return changed;
}

std::vector<std::string> changes_between(const protocol::LaunchDocument& from,
                                         const protocol::LaunchDocument& to) {
  const auto has = parameters_of(from);
  const auto gets = parameters_of(to);
  const auto& fields = *api::VmParameters::descriptor();
  const auto text = [](const std::string& value) { return value.empty() ? "absent" : value; };
  std::vector<std::string> changes;
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = *fields.field(i);
    const auto before = text_of(has, field);
    const auto after = text_of(gets, field);
    if (before != after) {
      changes.push_back(field.name() + ": " + text(before) + " -> " + text(after));
    }
  }
  return changes;
}

std::optional<std::string> difference(const protocol::LaunchDocument& existing,
                                      const protocol::LaunchDocument& wanted) {
  const auto has = parameters_of(existing);
  const auto asked = parameters_of(wanted);
  const auto& fields = *api::VmParameters::descriptor();
  std::string all;
  for (int i = 0; i < fields.field_count(); ++i) {
    const auto& field = *fields.field(i);
    const auto has_text = text_of(has, field);
    const auto asked_text = text_of(asked, field);
    if (has_text != asked_text) {
      all += (all.empty() ? "" : "; ") + field.name() + " is " + quoted(has_text) + ", and " +
             quoted(asked_text) + " was asked for";
    }
  }
  return all.empty() ? std::optional<std::string>() : all;
}

}  // namespace vtpm::host

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/bios_nvram.h"

#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

constexpr std::uint32_t kVariableRecord = 0;
constexpr std::size_t kMaxNameBytes = 2048;
constexpr std::size_t kMaxDataBytes = 32768;

struct RecordLayout {
  base::U32Le type;
  base::U32Le record_bytes;
  base::U32Le attributes;
  base::U16Le year;
  std::array<std::byte, 5> month_to_second;
  std::array<std::byte, 9> rest_of_time;
  Guid vendor;
  base::U16Le name_bytes;
  base::U16Le data_bytes;
};

static_assert(sizeof(RecordLayout) == 48);
static_assert(offsetof(RecordLayout, vendor) == 28);

base::Result<Variable> decode_record(base::Reader& reader) {
  TRY_ASSIGN(raw, reader.layout<RecordLayout>());
  const std::size_t name_bytes = raw.name_bytes.value();
  const std::size_t data_bytes = raw.data_bytes.value();
  if (raw.type.value() != kVariableRecord ||
      raw.record_bytes.value() != sizeof(RecordLayout) + name_bytes + data_bytes) {
    return base::fail(ErrorCode::kCorrupt, "its type or its lengths are wrong");
  }
  if (name_bytes > kMaxNameBytes || data_bytes > kMaxDataBytes) {
    return base::fail(ErrorCode::kCorrupt, "it is larger than a variable may be");
  }
  TRY_ASSIGN(name_content, reader.bytes(name_bytes));
  TRY_ASSIGN(name, decode_name(name_content));
  TRY_ASSIGN(data, reader.bytes(data_bytes));
  const auto at = [&](std::size_t i) {
    return std::to_integer<std::uint8_t>(raw.month_to_second[i]);
  };
  return Variable{.vendor = raw.vendor,
                  .name = std::move(name),
                  .attributes = raw.attributes.value(),
                  .timestamp = {raw.year.value(), at(0), at(1), at(2), at(3), at(4)},
                  .data = base::copy_of(data),
                  .state = State::kCurrent};
}

}  // namespace

base::Result<std::vector<Variable>> decode_bios_nvram(base::ByteView bytes) {
  if (bytes.size() > kMaxBiosNvramBytes) {
    return base::fail(ErrorCode::kCorrupt, "the variables take more than 131072 bytes");
  }
  std::vector<Variable> variables;
  base::Reader reader(bytes);
  while (!reader.empty()) {
    const auto at = reader.offset();
    auto variable = decode_record(reader);
    if (!variable) {
      return base::fail(
          std::move(variable).error().context("the variable at " + std::to_string(at)));
    }
    variables.push_back(*std::move(variable));
  }
  return variables;
}

base::Result<base::Bytes> encode_bios_nvram(const std::vector<Variable>& variables) {
  base::Writer writer;
  for (const auto& variable : variables) {
    const auto name = encode_name(variable.name);
    if (name.size() > kMaxNameBytes || variable.data.size() > kMaxDataBytes) {
      return base::fail(ErrorCode::kDenied,
                        text_of(variable.name) + " has " + std::to_string(variable.data.size()) +
                            " bytes: a variable of BIOS_NVRAM has at most " +
                            std::to_string(kMaxDataBytes) + ", and a name of at most 1023 letters");
    }
    const auto& time = variable.timestamp;
    RecordLayout raw{};
    raw.type = kVariableRecord;
    raw.record_bytes =
        static_cast<std::uint32_t>(sizeof(RecordLayout) + name.size() + variable.data.size());
    raw.attributes = variable.attributes;
    raw.year = time.year;
    raw.month_to_second = {std::byte{time.month}, std::byte{time.day}, std::byte{time.hour},
                           std::byte{time.minute}, std::byte{time.second}};
    raw.vendor = variable.vendor;
    raw.name_bytes = static_cast<std::uint16_t>(name.size());
    raw.data_bytes = static_cast<std::uint16_t>(variable.data.size());
    writer.layout(raw);
    writer.bytes(name);
    writer.bytes(variable.data);
  }
  if (writer.size() > kMaxBiosNvramBytes) {
    return base::fail(ErrorCode::kDenied, "the variables would take " +
                                              std::to_string(writer.size()) + " of " +
                                              std::to_string(kMaxBiosNvramBytes) +
                                              " bytes: delete variables that nobody needs");
  }
  return std::move(writer).take();
}

}  // namespace vmgs::uefi

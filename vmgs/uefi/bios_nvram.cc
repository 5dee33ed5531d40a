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

}  // namespace vmgs::uefi

// SPDX-License-Identifier: Apache-2.0
#include "vmgs/uefi/authenticated_update.h"

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace vmgs::uefi {

namespace {

using base::ErrorCode;

// EFI_TIME (UEFI 8.3).
struct TimeFields {
  base::U16Le year;
  std::array<std::byte, 5> month_to_second;
  std::array<std::byte, 1> pad;
  base::U32Le nanosecond;
  base::U16Le time_zone;
  std::array<std::byte, 1> daylight;
  std::array<std::byte, 1> pad_after;
};

static_assert(sizeof(TimeFields) == 16);

// WIN_CERTIFICATE_UEFI_GUID (UEFI 32.2.4).
struct CertificateLayout {
  base::U32Le bytes;  // of all of it
  base::U16Le revision;
  base::U16Le type;
  Guid kind;
};

static_assert(sizeof(CertificateLayout) == 24);

constexpr std::uint16_t kRevision = 0x0200;
constexpr std::uint16_t kEfiGuidCertificate = 0x0ef1;

const Guid& pkcs7() {
  static const Guid guid = *parse_guid("4aafd29d-68df-49ee-8aa9-347d375665a7");
  return guid;
}

}  // namespace

Timestamp AuthenticatedUpdate::timestamp() const {
  const auto raw = base::load<TimeFields>(time);
  const auto at = [&](std::size_t i) {
    return std::to_integer<std::uint8_t>(raw.month_to_second[i]);
  };
  return {raw.year.value(), at(0), at(1), at(2), at(3), at(4)};
}

bool is_authenticated_update(base::ByteView bytes) {
  base::Reader reader(bytes);
  const auto time = reader.bytes(sizeof(TimeFields));
  const auto certificate = reader.layout<CertificateLayout>();
  return time && certificate && certificate->revision.value() == kRevision &&
         certificate->type.value() == kEfiGuidCertificate;
}

base::Result<AuthenticatedUpdate> decode_authenticated_update(base::ByteView bytes) {
  base::Reader reader(bytes);
  TRY_ASSIGN(time, reader.layout<TimeFields>());
  TRY_ASSIGN(certificate, reader.layout<CertificateLayout>());
  if (certificate.revision.value() != kRevision ||
      certificate.type.value() != kEfiGuidCertificate || certificate.kind != pkcs7()) {
    return base::fail(ErrorCode::kCorrupt,
                      "the update carries no PKCS #7 signature of the kind that firmware takes");
  }
  if (time.pad[0] != std::byte{0} || time.nanosecond.value() != 0 || time.time_zone.value() != 0 ||
      time.daylight[0] != std::byte{0} || time.pad_after[0] != std::byte{0}) {
    return base::fail(ErrorCode::kCorrupt,
                      "the time of the update has fields that firmware wants to be zero");
  }
  if (certificate.bytes.value() < sizeof(CertificateLayout)) {
    return base::fail(ErrorCode::kCorrupt, "the signature of the update is shorter than any");
  }
  AuthenticatedUpdate update;
  base::store(time, std::span<std::byte, sizeof(TimeFields)>(update.time));
  TRY_ASSIGN(signed_data, reader.bytes(certificate.bytes.value() - sizeof(CertificateLayout)));
  update.signed_data = base::copy_of(signed_data);
  update.payload = base::copy_of(reader.rest());
  return update;
}

base::Bytes encode(const AuthenticatedUpdate& update) {
  base::Writer writer;
  writer.bytes(update.time);
  CertificateLayout certificate{};
  certificate.bytes =
      static_cast<std::uint32_t>(sizeof(CertificateLayout) + update.signed_data.size());
  certificate.revision = kRevision;
  certificate.type = kEfiGuidCertificate;
  certificate.kind = pkcs7();
  writer.layout(certificate);
  writer.bytes(update.signed_data);
  writer.bytes(update.payload);
  return std::move(writer).take();
}

base::Bytes signed_content(const AuthenticatedUpdate& update, const Guid& vendor,
                           std::u16string_view name, std::uint32_t attributes) {
  base::Writer writer;
  for (const char16_t unit : name) {
    writer.u16_le(unit);
  }
  writer.bytes(vendor);
  writer.u32_le(attributes);
  writer.bytes(update.time);
  writer.bytes(update.payload);
  return std::move(writer).take();
}

}  // namespace vmgs::uefi

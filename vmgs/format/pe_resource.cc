// SPDX-License-Identifier: Apache-2.0
#include "vmgs/format/pe_resource.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmgs/base/cursor.h"
#include "vmgs/base/layout.h"

namespace vmgs::format {

namespace {

using base::ErrorCode;

constexpr std::size_t kNewHeaderAt = 0x3c;
constexpr std::uint16_t kPe32 = 0x10b;
constexpr std::uint16_t kPe32Plus = 0x20b;
// Where the data directories begin in the optional header of each kind.
constexpr std::size_t kDirectoriesOfPe32 = 96;
constexpr std::size_t kDirectoriesOfPe32Plus = 112;
constexpr std::uint32_t kResourceDirectory = 2;  // its number among them
// The highest bit of an entry: it leads to a name, or to another table.
constexpr std::uint32_t kHighBit = 0x80000000;

struct FileHeaderLayout {
  std::array<std::byte, 4> signature;  // "PE", 0, 0
  base::U16Le machine;
  base::U16Le sections;
  std::array<std::byte, 12> rest;
  base::U16Le optional_bytes;
  base::U16Le characteristics;
};

static_assert(sizeof(FileHeaderLayout) == 24);

struct SectionLayout {
  std::array<std::byte, 8> name;
  base::U32Le virtual_bytes;
  base::U32Le virtual_address;
  base::U32Le raw_bytes;
  base::U32Le raw_at;
  std::array<std::byte, 16> rest;
};

static_assert(sizeof(SectionLayout) == 40);

struct TableLayout {
  std::array<std::byte, 12> rest;
  base::U16Le named_entries;
  base::U16Le numbered_entries;
};

static_assert(sizeof(TableLayout) == 16);

struct EntryLayout {
  base::U32Le name;
  base::U32Le target;
};

struct DataLayout {
  base::U32Le virtual_address;
  base::U32Le bytes;
  std::array<std::byte, 8> rest;
};

// The section that holds the resources, and where it would lie in memory.
struct Resources {
  base::ByteView bytes;
  std::uint64_t virtual_address = 0;
};

tl::unexpected<base::Error> corrupt(const std::string& what) {
  return base::fail(ErrorCode::kCorrupt, "the PE image " + what);
}

base::Result<base::ByteView> from(base::ByteView bytes, std::uint64_t at) {
  if (at > bytes.size()) {
    return corrupt("leads out of itself");
  }
  return bytes.subspan(static_cast<std::size_t>(at));
}

template <base::ByteLayout T>
base::Result<T> layout_at(base::ByteView bytes, std::uint64_t at) {
  TRY_ASSIGN(rest, from(bytes, at));
  base::Reader reader(rest);
  return reader.layout<T>();
}

// Where the resources would lie in memory; kNotFound for an image without any.
base::Result<std::uint32_t> resources_address(base::ByteView optional) {
  TRY_ASSIGN(magic, layout_at<base::U16Le>(optional, 0));
  if (magic.value() != kPe32 && magic.value() != kPe32Plus) {
    return corrupt("has an optional header of a kind that nobody knows");
  }
  const auto at = magic.value() == kPe32 ? kDirectoriesOfPe32 : kDirectoriesOfPe32Plus;
  TRY_ASSIGN(directories, layout_at<base::U32Le>(optional, at - sizeof(base::U32Le)));
  if (directories.value() <= kResourceDirectory) {
    return base::fail(ErrorCode::kNotFound, "the PE image has no resources");
  }
  TRY_ASSIGN(address, layout_at<base::U32Le>(optional, at + kResourceDirectory * 8));
  return address.value();
}

base::Result<Resources> resources_of(base::ByteView image) {
  if (image.size() < 2 || image[0] != std::byte{'M'} || image[1] != std::byte{'Z'}) {
    return corrupt("is none: it does not begin with MZ");
  }
  TRY_ASSIGN(header_at, layout_at<base::U32Le>(image, kNewHeaderAt));
  TRY_ASSIGN(header, layout_at<FileHeaderLayout>(image, header_at.value()));
  if (!std::ranges::equal(header.signature, base::bytes_of(std::string_view("PE\0\0", 4)))) {
    return corrupt("has no PE header");
  }
  const auto optional_at = std::uint64_t{header_at.value()} + sizeof(FileHeaderLayout);
  TRY_ASSIGN(optional, from(image, optional_at));
  TRY_ASSIGN(address, resources_address(optional.first(
                          std::min<std::size_t>(optional.size(), header.optional_bytes.value()))));
  for (std::uint64_t i = 0; i < header.sections.value(); ++i) {
    TRY_ASSIGN(section,
               layout_at<SectionLayout>(
                   image, optional_at + header.optional_bytes.value() + i * sizeof(SectionLayout)));
    const std::uint64_t begin = section.virtual_address.value();
    if (address < begin || address >= begin + section.raw_bytes.value()) {
      continue;
    }
    TRY_ASSIGN(raw, from(image, section.raw_at.value()));
    const auto size = std::min<std::size_t>(raw.size(), section.raw_bytes.value());
    TRY_ASSIGN(bytes, from(raw.first(size), address - begin));
    return Resources{bytes, address};
  }
  return base::fail(ErrorCode::kNotFound, "the PE image has no section with resources");
}

base::Result<bool> is_called(base::ByteView resources, std::uint32_t at, std::string_view name) {
  TRY_ASSIGN(length, layout_at<base::U16Le>(resources, at));
  if (length.value() != name.size()) {
    return false;
  }
  TRY_ASSIGN(letters, from(resources, std::uint64_t{at} + sizeof(base::U16Le)));
  base::Reader reader(letters);
  const auto upper = [](unsigned letter) {
    return letter >= 'a' && letter <= 'z' ? letter - ('a' - 'A') : letter;
  };
  for (const char each : name) {
    TRY_ASSIGN(unit, reader.u16_le());
    if (upper(unit) != upper(static_cast<unsigned char>(each))) {
      return false;
    }
  }
  return true;
}

// The target of the entry in the table at `at` that `matches`; nothing if there is none.
template <typename Matches>
base::Result<std::optional<std::uint32_t>> find_entry(base::ByteView resources, std::uint32_t at,
                                                      Matches&& matches) {
  TRY_ASSIGN(table, layout_at<TableLayout>(resources, at));
  const std::uint64_t entries =
      std::uint64_t{table.named_entries.value()} + table.numbered_entries.value();
  for (std::uint64_t i = 0; i < entries; ++i) {
    TRY_ASSIGN(entry, layout_at<EntryLayout>(resources,
                                             at + sizeof(TableLayout) + i * sizeof(EntryLayout)));
    TRY_ASSIGN(found, matches(entry.name.value()));
    if (found) {
      return std::optional(entry.target.value());
    }
  }
  return std::optional<std::uint32_t>();
}

}  // namespace

base::Result<base::ByteView> find_pe_resource(base::ByteView image, std::string_view type,
                                              std::uint32_t number) {
  TRY_ASSIGN(resources, resources_of(image));
  const auto missing = [&] {
    return base::fail(
        ErrorCode::kNotFound,
        "the PE image has no resource " + std::to_string(number) + " of type " + std::string(type));
  };
  const auto of_type = [&](std::uint32_t name) -> base::Result<bool> {
    if ((name & kHighBit) == 0) {
      return false;
    }
    return is_called(resources.bytes, name & ~kHighBit, type);
  };
  const auto of_number = [&](std::uint32_t name) -> base::Result<bool> { return name == number; };
  const auto any = [](std::uint32_t) -> base::Result<bool> { return true; };

  // Three tables, one in another: by type, by number, by language.
  TRY_ASSIGN(by_number, find_entry(resources.bytes, 0, of_type));
  if (!by_number || (*by_number & kHighBit) == 0) {
    return missing();
  }
  TRY_ASSIGN(by_language, find_entry(resources.bytes, *by_number & ~kHighBit, of_number));
  if (!by_language || (*by_language & kHighBit) == 0) {
    return missing();
  }
  TRY_ASSIGN(leaf, find_entry(resources.bytes, *by_language & ~kHighBit, any));
  if (!leaf || (*leaf & kHighBit) != 0) {
    return missing();
  }
  TRY_ASSIGN(data, layout_at<DataLayout>(resources.bytes, *leaf));
  if (data.virtual_address.value() < resources.virtual_address) {
    return corrupt("has a resource outside of the section of resources");
  }
  TRY_ASSIGN(content,
             from(resources.bytes, data.virtual_address.value() - resources.virtual_address));
  base::Reader reader(content);
  return reader.bytes(data.bytes.value());
}

}  // namespace vmgs::format

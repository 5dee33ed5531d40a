// SPDX-License-Identifier: Apache-2.0
#include "vmgs/inspect/file_kind.h"

#include <algorithm>
#include <array>

#include "vmgs/format/header.h"
#include "vmgs/format/tpm_state.h"

namespace vmgs::inspect {

namespace {

using format::TpmStateForm;

struct Mark {
  std::size_t at;
  std::string_view bytes;
  FileKind kind;
};

using namespace std::string_view_literals;

// Each is looked for where its format has it.
constexpr std::array kMarks = {Mark{0, "GUESTRTS"sv, FileKind::kStore},
                               Mark{512, "GUESTRTS"sv, FileKind::kStore},
                               Mark{4096, "GUESTRTS"sv, FileKind::kStore},
                               Mark{512, "EFI PART"sv, FileKind::kVersion1},
                               Mark{0, "vhdxfile"sv, FileKind::kVhdx},
                               Mark{0, "conectix"sv, FileKind::kDynamicVhd},
                               Mark{0, "QFI\xFB"sv, FileKind::kQcow2},
                               Mark{0, "KDMV"sv, FileKind::kVmdk},
                               Mark{0, "# Disk DescriptorFile"sv, FileKind::kVmdk},
                               Mark{0, "PK\x03\x04"sv, FileKind::kZip},
                               Mark{0, "PK\x05\x06"sv, FileKind::kZip},
                               Mark{0, "\x1F\x8B"sv, FileKind::kCompressed},
                               Mark{0,
                                    "\xFD"
                                    "7zXZ\0"sv,
                                    FileKind::kCompressed},
                               Mark{0, "\x28\xB5\x2F\xFD"sv, FileKind::kCompressed},
                               Mark{0, "BZh"sv, FileKind::kCompressed},
                               Mark{0,
                                    "\x7F"
                                    "ELF"sv,
                                    FileKind::kElf},
                               Mark{0, "-----BEGIN "sv, FileKind::kPem},
                               Mark{0, "SRMUNDO\0"sv, FileKind::kUndo},
                               Mark{40, "_FVH"sv, FileKind::kUefiFlash},
                               Mark{510, "\x55\xAA"sv, FileKind::kDiskImage}};

bool has(base::ByteView content, const Mark& mark) {
  const auto bytes = base::bytes_of(mark.bytes);
  return content.size() >= mark.at + bytes.size() &&
         std::equal(bytes.begin(), bytes.end(),
                    content.begin() + static_cast<std::ptrdiff_t>(mark.at));
}

// Without control characters, and mostly ASCII, as text in Latin letters is.
bool is_text(base::ByteView content) {
  const auto looked_at = content.first(std::min<std::size_t>(content.size(), 4096));
  std::size_t ascii = 0;
  for (const auto each : looked_at) {
    const auto value = std::to_integer<unsigned>(each);
    const bool is_blank = value == '\n' || value == '\r' || value == '\t';
    if ((value < 0x20 && !is_blank) || value == 0x7F) {
      return false;
    }
    ascii += value < 0x80 ? 1U : 0U;
  }
  return ascii * 4 >= looked_at.size() * 3;
}

FileKind of_tpm(base::ByteView content) {
  switch (format::recognise_tpm_state(content)) {
    case TpmStateForm::kOurs:
      return FileKind::kTpmOfOurs;
    case TpmStateForm::kSwtpm:
      return FileKind::kSwtpm;
    case TpmStateForm::kSwtpmEncrypted:
      return FileKind::kSwtpmLocked;
    case TpmStateForm::kLibtpmsPermanent:
    case TpmStateForm::kLibtpmsVolatile:
      return FileKind::kLibtpms;
    case TpmStateForm::kReferenceImage:
    case TpmStateForm::kReferenceImageCut:
      return FileKind::kOpenHclTpm;
    default:
      return FileKind::kUnknown;
  }
}

struct Card {
  FileKind kind;
  std::string_view name;
  std::string_view description;
  std::string_view advice;
};

constexpr std::array kCards = {
    Card{
        FileKind::kEmpty, "empty", "an empty file",
        "Nothing was ever in it, or a copy of it failed: look for the original, or for a copy that "
        "is not empty. `vmgs create NEW` makes a new store under another name"},
    Card{FileKind::kZeros, "zeros", "nothing but zeros, a store that was never formatted",
         "A VM that is started with --create makes a TPM in it. If this VM ever had a TPM, its "
         "state is not here: look for the right file before you start it"},
    Card{FileKind::kStore, "store", "a guest-state store", ""},
    Card{FileKind::kVersion1, "version-1", "a store of version 1, which is GPT partitioned",
         "Only the host that made it reads it: let that host upgrade it, or export its variables "
         "and begin with a new TPM (BitLocker then asks for its recovery key)"},
    Card{FileKind::kVhdx, "vhdx", "a VHDX disk image",
         "If it is the VM's guest state, convert it: `qemu-img convert -f vhdx -O vpc -o "
         "subformat=fixed,force_size FILE NEW.vmgs`; if it is the VM's disk, the guest state is "
         "another file, usually *.vmgs beside it"},
    Card{FileKind::kDynamicVhd, "dynamic-vhd", "a dynamic or differencing VHD",
         "Only fixed ones hold a guest state: `qemu-img convert -f vpc -O vpc -o "
         "subformat=fixed,force_size FILE NEW.vmgs`"},
    Card{FileKind::kQcow2, "qcow2", "a QEMU qcow2 disk image",
         "If it is the VM's disk, the guest state is another file. If somebody keeps a store in "
         "it: `qemu-img convert -f qcow2 -O raw FILE NEW.vmgs`"},
    Card{FileKind::kVmdk, "vmdk", "a VMware disk image",
         "It is a VM's disk; a guest state is another file"},
    Card{FileKind::kDiskImage, "disk-image", "a disk image with a boot sector",
         "It is a VM's disk; the guest state is another file, of a few megabytes"},
    Card{FileKind::kZip, "zip", "a ZIP archive", "Unpack it: the store may be in it"},
    Card{FileKind::kCompressed, "compressed", "a compressed file",
         "Decompress it (gunzip, unxz, unzstd, bunzip2): the store may be in it"},
    Card{FileKind::kElf, "elf", "a program", "A guest state is another file"},
    Card{FileKind::kPem, "pem", "a certificate or key in PEM form",
         "It opens no store by itself; a datastore key is 32 bytes or 64 hexadecimal digits"},
    Card{FileKind::kUndo, "undo", "what a change of a store kept of it",
         "`vmgs undo FILE UNDOFILE` puts the store back that it was made of"},
    Card{FileKind::kTpmOfOurs, "tpm-ours", "a TPM state of ours, taken out of its store",
         "Put it back into the store that it came from: `vmgs write STORE TPM_NVRAM --overwrite "
         "--key KEY`; in the store of another VM an instance refuses it"},
    Card{FileKind::kSwtpm, "swtpm", "the TPM of swtpm, and not in a store",
         "`vtpmctl adopt` takes the folder that it lies in (tpm2-00.permall) into a store, with "
         "the same keys and seeds; `swtpm` of this package serves it as it is"},
    Card{FileKind::kSwtpmLocked, "swtpm-encrypted",
         "the TPM of swtpm, encrypted under a key of swtpm's",
         "`vtpmctl adopt` takes the folder that it lies in into a store; it needs the key that "
         "swtpm was started with (its --key)"},
    Card{FileKind::kLibtpms, "libtpms", "a bare TPM state of libtpms, and not in a store",
         "`vtpmctl adopt` takes swtpm's folders; a bare state goes into a folder as the content of "
         "tpm2-00.permall first, which swtpm itself can do"},
    Card{FileKind::kOpenHclTpm, "openhcl-tpm", "the NV image of OpenHCL's TPM, and not in a store",
         "It belongs into a store as TPM_NVRAM (3): `vmgs write STORE TPM_NVRAM`. OpenHCL and "
         "Hyper-V use it there; an instance of ours does not"},
    Card{FileKind::kUefiFlash, "uefi-flash", "an image of a firmware flash, as OVMF's variables",
         "It belongs into a store as UEFI_FLASH (51): `vmgs write STORE UEFI_FLASH`, and `vmgs "
         "variables STORE` lists what is in it"},
    Card{FileKind::kText, "text", "text", "A guest state is another file"},
    Card{FileKind::kUnknown, "unknown", "no guest-state store, and nothing that is known here",
         ""}};

const Card& card(FileKind kind) {
  const auto found = std::find_if(kCards.begin(), kCards.end(),
                                  [&](const Card& each) { return each.kind == kind; });
  return found == kCards.end() ? kCards.back() : *found;
}

}  // namespace

FileKind recognise_file(base::ByteView content) {
  if (content.empty()) {
    return FileKind::kEmpty;
  }
  if (base::is_all_zero(content)) {
    return FileKind::kZeros;
  }
  for (const auto& mark : kMarks) {
    if (has(content, mark)) {
      return mark.kind;
    }
  }
  if (const auto tpm = of_tpm(content); tpm != FileKind::kUnknown) {
    return tpm;
  }
  return is_text(content) ? FileKind::kText : FileKind::kUnknown;
}

std::string_view name(FileKind kind) { return card(kind).name; }

std::string_view describe(FileKind kind) { return card(kind).description; }

std::string_view advise(FileKind kind) { return card(kind).advice; }

}  // namespace vmgs::inspect

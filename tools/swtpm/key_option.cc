// SPDX-License-Identifier: Apache-2.0
#include "tools/swtpm/key_option.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

#include "tools/swtpm/suboptions.h"
#include "vmgs/base/descriptor.h"
#include "vmgs/base/secret.h"
#include "vmgs/crypto/kdf.h"

namespace tools::swtpm {

using vmgs::format::SwtpmKey;

namespace {

// swtpm takes passphrases of any length; nobody types more than this.
constexpr std::size_t kMostBytes = 4096;

base::Result<base::SecretBytes> read_all(const base::Descriptor& file, const std::string& name) {
  auto buffer = base::Secret<kMostBytes + 1>::zero();
  std::size_t done = 0;
  while (done < buffer.fill().size()) {
    const auto count =
        ::read(file.number(), buffer.fill().subspan(done).data(), buffer.fill().size() - done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return base::fail(base::ErrorCode::kIo, "Unable to read key from " + name + ": " +
                                                  std::generic_category().message(errno));
    }
    if (count == 0) {
      break;
    }
    done += static_cast<std::size_t>(count);
  }
  if (done > kMostBytes) {
    return base::fail(base::ErrorCode::kInvalidArgument, name + ": too long for a key");
  }
  base::SecretBytes content(done);
  std::copy_n(buffer.expose().begin(), done, content.fill().begin());
  return content;
}

base::Result<base::SecretBytes> read_source(const std::optional<std::string>& path,
                                            std::optional<std::uint32_t> number) {
  if (path) {
    const base::Descriptor file(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open()) {
      return base::fail(
          errno == ENOENT ? base::ErrorCode::kNotFound : base::ErrorCode::kIo,
          "Unable to open file " + *path + ": " + std::generic_category().message(errno));
    }
    return read_all(file, *path);
  }
  const base::Descriptor passed(static_cast<int>(*number));
  return read_all(passed, "file descriptor " + std::to_string(*number));
}

}  // namespace

base::Result<SwtpmKey> read_key_option(std::string_view option, std::string_view value) {
  using enum SuboptionKind;
  TRY_ASSIGN(given, Suboptions::parse(option, value,
                                      {{"file", kText},
                                       {"fd", kNumber},
                                       {"mode", kText},
                                       {"format", kText},
                                       {"pwdfile", kText},
                                       {"pwdfd", kNumber},
                                       {"kdf", kText},
                                       {"remove", kFlag}}));
  const bool is_key = given.text("file") || given.number("fd");
  if (!is_key && !given.text("pwdfile") && !given.number("pwdfd")) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "Either file=, fd=, pwdfile=, or pwdfd= is required for " +
                          std::string(option) + " option");
  }
  const auto format = given.text("format").value_or("hex");
  if (format != "hex" && format != "binary") {
    return base::fail(base::ErrorCode::kInvalidArgument, "Unknown key format '" + format + "'.");
  }
  TRY_ASSIGN(cipher, vmgs::format::parse_swtpm_cipher(given.text("mode").value_or("aes-128-cbc")));
  TRY_ASSIGN(kdf, vmgs::format::parse_swtpm_kdf(given.text("kdf").value_or("pbkdf2")));
  const auto path = given.text(is_key ? "file" : "pwdfile");
  TRY_ASSIGN(content, read_source(path, given.number(is_key ? "fd" : "pwdfd")));
  auto key = !is_key           ? SwtpmKey::from_passphrase(content.expose(), kdf, cipher)
             : format == "hex" ? SwtpmKey::from_hex(content.expose(), cipher)
                               : SwtpmKey::from_binary(content.expose(), cipher);
  if (key && given.flag("remove") && path) {
    ::unlink(path->c_str());
  }
  return key;
}

base::Result<vmgs::volume::DatastoreKey> store_key_of(const SwtpmKey& key) {
  TRY_ASSIGN(bytes, (vmgs::crypto::derive<32>(key.expose(),
                                              base::bytes_of("strongroom.swtpm.store/1"), {})));
  return vmgs::volume::DatastoreKey{std::move(bytes)};
}

}  // namespace tools::swtpm

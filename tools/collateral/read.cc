// SPDX-License-Identifier: Apache-2.0
#include "tools/collateral/read.h"

#include "tools/cli/stream.h"

namespace tools::collateral {

namespace {

constexpr std::size_t kMaxPemBytes = 1024 * 1024;

}  // namespace

base::Result<base::Bytes> read_bytes(const std::string& from, std::size_t most_bytes) {
  TRY_ASSIGN(bytes, cli::read_input(from, most_bytes));
  return base::copy_of(bytes.expose());
}

base::Result<std::string> read_text(const std::string& from, std::size_t most_bytes) {
  TRY_ASSIGN(bytes, read_bytes(from, most_bytes));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

base::Result<std::vector<keybroker::crypto::Certificate>> read_certificates(const std::string& from,
                                                                            std::size_t most) {
  TRY_ASSIGN(text, read_text(from, kMaxPemBytes));
  auto certificates = keybroker::crypto::decode_pem_certificates(text, most);
  if (!certificates) {
    return base::fail(std::move(certificates).error().context(from));
  }
  return certificates;
}

}  // namespace tools::collateral

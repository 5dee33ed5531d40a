// SPDX-License-Identifier: Apache-2.0
#include "tests/support/evidence_vectors.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace tests::support {

namespace {

std::filesystem::path usual_folder() {
  return std::filesystem::path(STRONGROOM_SOURCE_DIR) / "../shared/vectors/evidence";
}

std::filesystem::path folder() {
  const char* other = std::getenv("STRONGROOM_EVIDENCE_VECTORS");
  return other != nullptr && *other != '\0' ? std::filesystem::path(other) : usual_folder();
}

// Vendors' authorities need not be in each set.
std::filesystem::path find(const std::string& name) {
  const auto file = folder() / name;
  return std::filesystem::exists(file) ? file : usual_folder() / name;
}

}  // namespace

bool has_evidence_vectors() { return std::filesystem::exists(folder() / "manifest.json"); }

base::Bytes read_evidence_vector(const std::string& name) {
  std::ifstream file(find(name), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || text.empty()) {
    std::perror(name.c_str());
    std::abort();
  }
  return base::copy_of(base::bytes_of(text));
}

}  // namespace tests::support

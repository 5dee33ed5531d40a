// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/output.h"

#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>

#include "vmgs/storage/system_error.h"
#include "vmgs/storage/transfer.h"

namespace tools::cli {

base::Result<void> Output::bytes(base::ByteView bytes) {
  if (captures_) {
    answer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }
  const int error = ::vmgs::storage::transfer_all(bytes.size(), [&](std::size_t done) {
    return ::write(STDOUT_FILENO, bytes.data() + done, bytes.size() - done);
  });
  if (error != 0) {
    return base::fail(base::ErrorCode::kIo,
                      ::vmgs::storage::system_error(error, "cannot write the answer").message);
  }
  return {};
}

base::Result<void> Output::text(std::string_view text) { return bytes(base::bytes_of(text)); }

base::Result<void> Output::document(std::string_view schema, boost::json::object fields) {
  boost::json::object document;
  document["schema"] = schema;
  for (auto& field : fields) {
    document[field.key()] = std::move(field.value());
  }
  return text(boost::json::serialize(document) + "\n");
}

void Output::say(std::string_view text) const {
  if (captures_) {
    talked_ += text;
  } else {
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
}

void Output::talk(std::string_view line) const { say(program_ + ": " + std::string(line) + "\n"); }

}  // namespace tools::cli

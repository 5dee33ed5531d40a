// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace tools::cli {

// Output is where a command puts its answer (stdout) and its talk (stderr). With --json the answer
// is one document and nothing else. Errors of stdout count: an answer that was not written is none.
class Output {
 public:
  explicit Output(std::string program) : program_(std::move(program)) {}

  [[nodiscard]] bool json() const { return json_; }

  void set_json(bool json) { json_ = json; }

  // text() writes an answer for people, a line end included if it has one.
  base::Result<void> text(std::string_view text);

  // bytes() writes data as it is.
  base::Result<void> bytes(base::ByteView bytes);

  // document() writes the one JSON document: `fields` after "schema", which names the document and
  // its version, such as "strongroom.vmgs.info/1".
  base::Result<void> document(std::string_view schema, boost::json::object fields);

  // talk() says something to the person at the terminal, one line.
  void talk(std::string_view line) const;

 private:
  std::string program_;
  bool json_ = false;
};

}  // namespace tools::cli

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

  // capturing() keeps both to itself, for a program that runs a command in a command's place.
  static Output capturing(std::string program) {
    Output output(std::move(program));
    output.captures_ = true;
    return output;
  }

  // answer() and talked() are what a capturing output was given.
  [[nodiscard]] const std::string& answer() const { return answer_; }

  [[nodiscard]] const std::string& talked() const { return talked_; }

  [[nodiscard]] bool json() const { return json_; }

  void set_json(bool json) { json_ = json; }

  // text() writes an answer for people, a line end included if it has one.
  base::Result<void> text(std::string_view text);

  // bytes() writes data as it is.
  base::Result<void> bytes(base::ByteView bytes);

  // document() writes the one JSON document: `fields` after "schema", which names the document and
  // its version, such as "strongroom.vmgs.info/1".
  base::Result<void> document(std::string_view schema, boost::json::object fields);

  // say() hands text for the person at the terminal over as it is.
  void say(std::string_view text) const;

  // talk() says something to the person at the terminal, one line.
  void talk(std::string_view line) const;

 private:
  std::string program_;
  bool json_ = false;
  bool captures_ = false;
  std::string answer_;
  mutable std::string talked_;
};

}  // namespace tools::cli

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "vmgs/base/bytes.h"
#include "vmgs/base/result.h"

namespace keybroker::protocol {

// parse_json() reads one JSON document (RFC 8259) of at most `most_bytes` and nothing behind it.
// kCorrupt for members of one object with the same name, more than 16 levels, a NUL in a string,
// text that is not UTF-8, and all that is no JSON; the message says what and where, as in
// "anyOf[0].allOf[2]". What two readers could read differently, nobody may sign.
base::Result<boost::json::value> parse_json(std::string_view text, std::size_t most_bytes);

// Members of an object by name. kCorrupt, with the name, if there is none or it is of another type.
base::Result<std::string> text_member(const boost::json::object& object, std::string_view name);
base::Result<std::uint64_t> number_member(const boost::json::object& object, std::string_view name,
                                          std::uint64_t most);
base::Result<bool> flag_member(const boost::json::object& object, std::string_view name);

// word_member() is one of `values`, as their name() writes it.
template <typename T>
base::Result<T> word_member(const boost::json::object& object, std::string_view member,
                            std::initializer_list<T> values) {
  TRY_ASSIGN(text, text_member(object, member));
  for (const auto value : values) {
    if (text == name(value)) {
      return value;
    }
  }
  return base::fail(base::ErrorCode::kCorrupt,
                    "the member '" + std::string(member) + "' has an unknown word");
}

// hex_member() is a string of exactly `size` bytes in hexadecimal digits of either case.
base::Result<base::Bytes> hex_member(const boost::json::object& object, std::string_view name,
                                     std::size_t size);

// object_member() and array_member() are views into `object`.
base::Result<const boost::json::object*> object_member(const boost::json::object& object,
                                                       std::string_view name);
base::Result<const boost::json::array*> array_member(const boost::json::object& object,
                                                     std::string_view name);

// expect_only() is kCorrupt if the object has a member that is not one of `names`.
base::Result<void> expect_only(const boost::json::object& object,
                               std::initializer_list<std::string_view> names);

}  // namespace keybroker::protocol

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace base {

// What the caller can do about a failure. Codes are few on purpose: add one only when some caller
// must act differently; say the rest in the message.
enum class ErrorCode {
  kInvalidArgument,  // The caller broke a documented rule.
  kNotFound,         // The named thing does not exist; nothing is damaged.
  kCorrupt,          // Bytes do not follow their format.
  kAuthentication,   // A tag, signature or certificate did not verify.
  kDenied,           // A policy or precondition said no. Never retried.
  kUnavailable,      // A peer, lock or device is away. Safe to retry.
  kIo,               // The operating system refused a read, write or flush.
};

// name() is the code as a stable lower-case word, for JSON and logs.
std::string_view name(ErrorCode code);

// Error pairs a code for programs with a message for people. The message never contains key
// material, so it may be logged as it is.
struct Error {
  ErrorCode code;
  std::string message;

  // context() returns the same error with `where` and a colon put in front of its message.
  [[nodiscard]] Error context(std::string_view where) &&;
};

// Result<T> holds a T or an Error. Dropping one unread does not compile. Asking a success for its
// error, or a failure for its value, ends the process: the bytes there mean nothing, and a test
// would read them as the error it hopes for.
template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
  using Expected = tl::expected<T, Error>;

 public:
  using Expected::Expected;

  [[nodiscard]] const Error& error() const& { return failed(), Expected::error(); }

  [[nodiscard]] Error& error() & { return failed(), Expected::error(); }

  [[nodiscard]] Error&& error() && { return failed(), std::move(*this).Expected::error(); }

  template <typename U = T>

  requires(!std::is_void_v<U>) [[nodiscard]] const U& operator*() const& {
    return succeeded(), Expected::operator*();
  }

  template <typename U = T>

  requires(!std::is_void_v<U>) [[nodiscard]] U& operator*() & {
    return succeeded(), Expected::operator*();
  }

  template <typename U = T>

  requires(!std::is_void_v<U>) [[nodiscard]] U&& operator*() && {
    return succeeded(), std::move(*this).Expected::operator*();
  }

  template <typename U = T>

  requires(!std::is_void_v<U>) [[nodiscard]] const U* operator->() const {
    return succeeded(), Expected::operator->();
  }

  template <typename U = T>

  requires(!std::is_void_v<U>) [[nodiscard]] U* operator->() {
    return succeeded(), Expected::operator->();
  }

 private:
  void failed() const {
    if (this->has_value()) {
      std::abort();
    }
  }

  void succeeded() const {
    if (!this->has_value()) {
      std::abort();
    }
  }
};

// fail() is the one way to leave a function with an error.
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

// fail() with an Error passes on an error that another call returned.
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace base

// TRY runs a Result<void> step and returns its error, if it has one.
#define TRY(step)                                                          \
  if (auto try_result = (step); !try_result) {                             \
    return ::tl::unexpected<::base::Error>(std::move(try_result).error()); \
  }

// TRY_ASSIGN runs a Result<T> step, returns its error if it has one, and else declares `name`.
#define TRY_ASSIGN(name, step)                                                \
  auto name##_result = (step);                                                \
  if (!name##_result) {                                                       \
    return ::tl::unexpected<::base::Error>(std::move(name##_result).error()); \
  }                                                                           \
  auto name = *std::move(name##_result)

// CO_TRY and CO_TRY_ASSIGN are the same inside a coroutine.
#define CO_TRY(step)                                                          \
  if (auto try_result = (step); !try_result) {                                \
    co_return ::tl::unexpected<::base::Error>(std::move(try_result).error()); \
  }

#define CO_TRY_ASSIGN(name, step)                                                \
  auto name##_result = (step);                                                   \
  if (!name##_result) {                                                          \
    co_return ::tl::unexpected<::base::Error>(std::move(name##_result).error()); \
  }                                                                              \
  auto name = *std::move(name##_result)

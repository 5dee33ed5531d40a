// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/endian/buffers.hpp>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

namespace base {

// Integers of a layout: alignment 1, fixed byte order, read with .value(), written with =.
using U16Le = boost::endian::little_uint16_buf_t;
using U32Le = boost::endian::little_uint32_buf_t;
using U64Le = boost::endian::little_uint64_buf_t;
using U16Be = boost::endian::big_uint16_buf_t;
using U32Be = boost::endian::big_uint32_buf_t;
using U64Be = boost::endian::big_uint64_buf_t;

// A ByteLayout says where the bytes of a fixed structure are and judges nothing. Layouts are the
// only types that are ever copied to or from a disk, a device or a wire.
template <typename T>
concept ByteLayout = std::is_trivially_copyable_v<T> && alignof(T) == 1;

// load() copies a layout out of exactly sizeof(T) bytes. It judges nothing: whether the fields
// make sense is for the decode function of that layout.
template <ByteLayout T>
T load(std::span<const std::byte, sizeof(T)> bytes) {
  T layout;
  std::memcpy(&layout, bytes.data(), sizeof(T));
  return layout;
}

// store() copies a layout over exactly sizeof(T) bytes.
template <ByteLayout T>
void store(const T& layout, std::span<std::byte, sizeof(T)> bytes) {
  std::memcpy(bytes.data(), &layout, sizeof(T));
}

// view() sees a layout as its bytes. The view ends with the layout.
template <ByteLayout T>
std::span<const std::byte, sizeof(T)> view(const T& layout) {
  return std::as_bytes(std::span<const T, 1>(&layout, 1));
}

}  // namespace base

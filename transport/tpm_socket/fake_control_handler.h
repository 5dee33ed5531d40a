// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "transport/tpm_socket/control_handler.h"

namespace transport::tpm_socket {

// FakeControlHandler notes what it is asked, in words, and succeeds unless it is told to fail.
class FakeControlHandler final : public ControlHandler {
 public:
  base::Result<void> init(bool delete_volatile) override {
    return note(delete_volatile ? "init, delete volatile" : "init");
  }

  base::Result<void> stop() override { return note("stop"); }

  base::Result<void> shutdown() override { return note("shutdown"); }

  base::Result<void> set_locality(std::uint8_t locality) override {
    return note("locality " + std::to_string(locality));
  }

  base::Result<bool> established() override {
    TRY(note("established"));
    return bit;
  }

  base::Result<void> reset_established(std::uint8_t locality) override {
    return note("reset established from " + std::to_string(locality));
  }

  base::Result<void> hash_start() override { return note("hash start"); }

  base::Result<void> hash_data(base::ByteView data) override {
    hashed.insert(hashed.end(), data.begin(), data.end());
    return note("hash data");
  }

  base::Result<void> hash_end() override { return note("hash end"); }

  base::Result<void> cancel() override { return note("cancel"); }

  base::Result<void> store_volatile() override { return note("store volatile"); }

  [[nodiscard]] bool offers_state_blobs() const override { return state_blobs; }

  base::Result<OutgoingStateBlob> state_blob(StateBlob which, bool file_key_off) override {
    TRY(note(std::string(which == StateBlob::kPermanent ? "get permanent" : "get volatile") +
             (file_key_off ? ", file key off" : "")));
    return OutgoingStateBlob{base::SecretBytes::taking(base::copy_of(blob)),
                             keys.file && !file_key_off};
  }

  base::Result<void> set_state_blob(StateBlob which, base::ByteView bytes,
                                    bool under_file_key) override {
    blob = base::copy_of(bytes);
    return note(std::string(which == StateBlob::kPermanent ? "set permanent" : "set volatile") +
                (under_file_key ? ", under the file key" : ""));
  }

  void state_is_taken() override { asked.push_back("state is taken"); }

  [[nodiscard]] KeysInUse keys_in_use() const override { return keys; }

  base::Result<BufferSizes> buffer_sizes(std::uint32_t wanted) override {
    TRY(note("buffer size " + std::to_string(wanted)));
    return BufferSizes{3968, 2808, 4096};
  }

  base::Result<std::string> info(std::uint64_t flags) override {
    TRY(note("info " + std::to_string(flags)));
    return text;
  }

  base::Result<void> lock_storage(std::uint32_t retries) override {
    return note("lock " + std::to_string(retries));
  }

  base::Result<void> set_data_channel(base::Descriptor descriptor) override {
    channel = std::move(descriptor);
    return note("data channel");
  }

  std::vector<std::string> asked;
  std::optional<base::ErrorCode> error;

  bool bit = false;
  bool state_blobs = true;
  KeysInUse keys;
  std::string text = "{}";
  base::Bytes blob;
  base::Bytes hashed;
  base::Descriptor channel;

 private:
  base::Result<void> note(std::string what) {
    asked.push_back(std::move(what));
    return error ? base::Result<void>(base::fail(*error, "told to fail")) : base::Result<void>();
  }
};

}  // namespace transport::tpm_socket

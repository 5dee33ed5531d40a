// SPDX-License-Identifier: Apache-2.0
#include "vtpm/provision/engine_tcti.h"

#include <algorithm>
#include <span>

namespace vtpm::provision {

namespace {

constexpr std::uint64_t kMagic = 0x5354524F4E475443;  // any number of our own

}  // namespace

EngineTcti::EngineTcti(engine::Engine& engine) : engine_(engine), context_{} {
  context_.functions.magic = kMagic;
  context_.functions.version = 1;
  context_.functions.transmit = transmit;
  context_.functions.receive = receive;
  context_.functions.finalize = finalize;
  context_.functions.cancel = cancel;
  context_.functions.setLocality = set_locality;
  context_.tcti = this;
}

TSS2_TCTI_CONTEXT* EngineTcti::context() { return reinterpret_cast<TSS2_TCTI_CONTEXT*>(&context_); }

EngineTcti& EngineTcti::of(TSS2_TCTI_CONTEXT* context) {
  return *reinterpret_cast<Context*>(context)->tcti;
}

TSS2_RC EngineTcti::transmit(TSS2_TCTI_CONTEXT* context, std::size_t size,
                             const std::uint8_t* command) {
  if (context == nullptr || command == nullptr) {
    return TSS2_TCTI_RC_BAD_REFERENCE;
  }
  auto& tcti = of(context);
  if (!tcti.command_.empty() || !tcti.response_.empty()) {
    return TSS2_TCTI_RC_BAD_SEQUENCE;
  }
  tcti.command_ = base::copy_of(std::as_bytes(std::span(command, size)));
  return TSS2_RC_SUCCESS;
}

TSS2_RC EngineTcti::receive(TSS2_TCTI_CONTEXT* context, std::size_t* size, std::uint8_t* response,
                            std::int32_t) {
  if (context == nullptr || size == nullptr) {
    return TSS2_TCTI_RC_BAD_REFERENCE;
  }
  auto& tcti = of(context);
  if (!tcti.command_.empty()) {
    const auto ran = tcti.engine_.process(protocol::Locality(), tcti.command_);
    tcti.command_.clear();
    if (!ran) {
      return TSS2_TCTI_RC_IO_ERROR;
    }
    tcti.response_ = base::copy_of(*ran);
  }
  if (tcti.response_.empty()) {
    return TSS2_TCTI_RC_BAD_SEQUENCE;
  }
  // Without a buffer, or with one that is too small, the caller learns the size and asks again.
  const std::size_t room = *size;
  *size = tcti.response_.size();
  if (response == nullptr) {
    return TSS2_RC_SUCCESS;
  }
  if (room < tcti.response_.size()) {
    return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
  }
  std::ranges::copy(tcti.response_, std::as_writable_bytes(std::span(response, room)).begin());
  tcti.response_.clear();
  return TSS2_RC_SUCCESS;
}

void EngineTcti::finalize(TSS2_TCTI_CONTEXT*) {}

// A command runs inside receive(), on the thread that would cancel it.
TSS2_RC EngineTcti::cancel(TSS2_TCTI_CONTEXT*) { return TSS2_TCTI_RC_BAD_SEQUENCE; }

TSS2_RC EngineTcti::set_locality(TSS2_TCTI_CONTEXT*, std::uint8_t locality) {
  return locality == 0 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_BAD_VALUE;
}

}  // namespace vtpm::provision

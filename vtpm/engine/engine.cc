// SPDX-License-Identifier: Apache-2.0
#include "vtpm/engine/engine.h"

#include <fcntl.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <libtpms/tpm_tis.h>
#include <link.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>

#include "vmgs/base/idle_memory.h"
#include "vmgs/crypto/random.h"
#include "vtpm/protocol/header.h"
#include "vtpm/protocol/power_command.h"

namespace vtpm::engine {

namespace {

// The callbacks of libtpms take no context, so they find the engine here.
std::atomic<Engine*> the_engine{nullptr};

// Set in a child that was forked while a TPM was running: its generator would repeat the parent's.
std::atomic<bool> forked_while_running{false};

std::string describe(TPM_RESULT result) {
  char text[32];
  std::snprintf(text, sizeof text, "libtpms answered 0x%x", static_cast<unsigned>(result));
  return text;
}

base::Result<void> checked(TPM_RESULT result, std::string_view what) {
  if (result != TPM_SUCCESS) {
    return base::fail(base::ErrorCode::kUnavailable, std::string(what) + ": " + describe(result));
  }
  return {};
}

// Takes over a buffer that libtpms allocated, leaving no second copy of what it holds.
base::SecretBytes take(unsigned char* buffer, std::uint32_t size) {
  base::SecretBytes secret(size);
  if (size != 0) {
    std::memcpy(secret.fill().data(), buffer, size);
    explicit_bzero(buffer, size);
  }
  std::free(buffer);
  return secret;
}

base::SecretBytes take_copy(base::ByteView bytes) {
  base::SecretBytes secret(bytes.size());
  std::copy(bytes.begin(), bytes.end(), secret.fill().begin());
  return secret;
}

// The variables of libtpms that begin as zeros: 200 KiB, nearly all of it NV memory, which a start
// writes zeros to once more. Empty where libtpms is no library of its own, as others write there.
std::span<std::byte> zeroed_variables() {
  std::span<std::byte> found;
  const auto look = [](dl_phdr_info* object, std::size_t, void* out) {
    const auto start = reinterpret_cast<std::uintptr_t>(&TPMLIB_MainInit);
    const std::span segments(object->dlpi_phdr, object->dlpi_phnum);
    const auto has = [&](const ElfW(Phdr) & segment) {
      const auto begin = object->dlpi_addr + segment.p_vaddr;
      return segment.p_type == PT_LOAD && begin <= start && start < begin + segment.p_memsz;
    };
    if (object->dlpi_name[0] == '\0' || std::none_of(segments.begin(), segments.end(), has)) {
      return 0;
    }
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto page_after = [&](std::uintptr_t at) { return (at + page - 1) / page * page; };
    for (const auto& segment : segments) {
      const auto begin = object->dlpi_addr + segment.p_vaddr;
      const auto zeros = page_after(begin + segment.p_filesz);
      const auto end = page_after(begin + segment.p_memsz);
      if (segment.p_type == PT_LOAD && (segment.p_flags & PF_W) != 0 && zeros < end) {
        *static_cast<std::span<std::byte>*>(out) = {reinterpret_cast<std::byte*>(zeros),
                                                    end - zeros};
      }
    }
    return 1;
  };
  ::dl_iterate_phdr(look, &found);
  return found;
}

TPMLIB_StateType state_type(BlobKind kind) {
  return kind == BlobKind::kPermanent ? TPMLIB_STATE_PERMANENT : TPMLIB_STATE_VOLATILE;
}

}  // namespace

struct Engine::Callbacks {
  static TPM_RESULT nothing() { return TPM_SUCCESS; }

  // libtpms manufactures a TPM if and only if this answers TPM_RETRY for the permanent state.
  static TPM_RESULT load(unsigned char** data, std::uint32_t* size, std::uint32_t,
                         const char* name) {
    const Engine& engine = *the_engine;
    const bool permanent = std::string_view(name) == TPM_PERMANENT_ALL_NAME;
    const auto& stored = permanent ? engine.stored_permanent_ : engine.stored_volatile_;
    if (!stored) {
      return permanent && !engine.manufacturing_ ? TPM_FAIL : TPM_RETRY;
    }
    const auto blob = stored->expose();
    *data = static_cast<unsigned char*>(std::malloc(blob.size()));
    if (*data == nullptr) {
      return TPM_SIZE;
    }
    std::memcpy(*data, blob.data(), blob.size());
    *size = static_cast<std::uint32_t>(blob.size());
    return TPM_SUCCESS;
  }

  static TPM_RESULT store(const unsigned char* data, std::uint32_t size, std::uint32_t,
                          const char* name) {
    Engine& engine = *the_engine;
    if (engine.resuming_) {
      engine.failure_ = base::Error{base::ErrorCode::kCorrupt,
                                    "a TPM that is taken over would change before it goes on"};
      return TPM_FAIL;
    }
    const auto kind = std::string_view(name) == TPM_PERMANENT_ALL_NAME ? BlobKind::kPermanent
                                                                       : BlobKind::kVolatile;
    if (std::exchange(engine.next_store_fails_, false)) {
      engine.failure_ = base::Error{base::ErrorCode::kDenied, "failure mode was asked for"};
      return TPM_FAIL;
    }
    auto stored = engine.store_.store(kind, std::as_bytes(std::span(data, size)));
    if (!stored) {
      engine.failure_ = std::move(stored).error();
      return TPM_FAIL;
    }
    if (engine.manufacturing_) {
      // Having stored the new TPM, libtpms powers it on by loading it. Told once more that there is
      // no state it would go on with empty NV memory, and say nothing.
      engine.stored_permanent_ = take_copy(std::as_bytes(std::span(data, size)));
    }
    return TPM_SUCCESS;
  }

  static TPM_RESULT remove(std::uint32_t, const char*, TPM_BOOL) {
    return TPM_SUCCESS;  // Only a TPM 1.2 deletes; what we store, start() removes itself.
  }

  static TPM_RESULT locality(TPM_MODIFIER_INDICATOR* locality, std::uint32_t) {
    *locality = the_engine.load()->locality_.number();
    return TPM_SUCCESS;
  }

  static TPM_RESULT physical_presence(TPM_BOOL* present, std::uint32_t) {
    *present = the_engine.load()->physically_present_ ? 1 : 0;
    return TPM_SUCCESS;
  }

  static void forked() {
    const Engine* engine = the_engine;
    if (engine != nullptr && engine->running_) {
      forked_while_running = true;
    }
  }

  static void prepare_library() {
    libtpms_callbacks callbacks{};
    callbacks.sizeOfStruct = sizeof callbacks;
    callbacks.tpm_nvram_init = nothing;
    callbacks.tpm_nvram_loaddata = load;
    callbacks.tpm_nvram_storedata = store;
    callbacks.tpm_nvram_deletename = remove;
    callbacks.tpm_io_init = nothing;
    callbacks.tpm_io_getlocality = locality;
    callbacks.tpm_io_getphysicalpresence = physical_presence;
    TPMLIB_RegisterCallbacks(&callbacks);
    // At any level libtpms prints the command that led to failure mode, auth values included, to
    // the debug descriptor, or to stderr if there is none. It lives as long as the process.
    TPMLIB_SetDebugLevel(0);
    TPMLIB_SetDebugFD(open("/dev/null", O_WRONLY | O_CLOEXEC));
    pthread_atfork(nullptr, nullptr, forked);
  }
};

base::Result<std::unique_ptr<Engine>> Engine::create(NvStore& store) {
  static std::once_flag prepared;
  std::call_once(prepared, Callbacks::prepare_library);
  if (forked_while_running) {
    return base::fail(base::ErrorCode::kDenied,
                      "this process was forked while its TPM was running; start a new process");
  }
  auto engine = std::unique_ptr<Engine>(new Engine(store));
  Engine* none = nullptr;
  if (!the_engine.compare_exchange_strong(none, engine.get())) {
    // The destructor of this second engine must not power off the first one's TPM.
    return base::fail(base::ErrorCode::kDenied, "there is one TPM to a process; it is taken");
  }
  if (auto chosen = checked(TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2), "choosing TPM 2.0");
      !chosen) {
    return base::fail(std::move(chosen).error());
  }
  return engine;
}

Engine::~Engine() {
  if (the_engine == this) {
    terminate();
    forget_set_blobs();
    the_engine = nullptr;
  }
  if (response_ != nullptr) {
    explicit_bzero(response_, response_capacity_);
    std::free(response_);
  }
}

base::Result<void> Engine::find_state(Origin origin) {
  if (origin == Origin::kManufacture) {
    if (permanent_is_set_) {
      return base::fail(base::ErrorCode::kDenied, "a TPM state was set; none may be made new");
    }
    TRY_ASSIGN(found, store_.load(BlobKind::kPermanent));
    if (found) {
      return base::fail(base::ErrorCode::kDenied, "there is a TPM state; none may be made new");
    }
    return {};
  }
  if (permanent_is_set_) {
    return {};  // A stored volatile blob belongs to another state than the one that was set.
  }
  TRY_ASSIGN(permanent, store_.load(BlobKind::kPermanent));
  if (!permanent) {
    return base::fail(base::ErrorCode::kNotFound,
                      "there is no TPM state, and none is made new unless asked for");
  }
  stored_permanent_ = std::move(permanent);
  if (!volatile_is_set_) {
    TRY_ASSIGN(volatile_blob, store_.load(BlobKind::kVolatile));
    stored_volatile_ = std::move(volatile_blob);
  }
  return {};
}

base::Result<void> Engine::start(Origin origin) {
  if (running_) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is running; terminate it first");
  }
  if (forked_while_running) {
    return base::fail(base::ErrorCode::kDenied, "forked while the TPM was running");
  }
  failure_.reset();
  if (auto found = find_state(origin); !found) {
    stored_permanent_.reset();
    forget_set_blobs();
    return found;
  }
  const bool resumes = volatile_is_set_ || stored_volatile_;
  manufacturing_ = origin == Origin::kManufacture;
  const TPM_RESULT result = TPMLIB_MainInit();
  manufacturing_ = false;
  stored_permanent_.reset();
  stored_volatile_.reset();
  permanent_is_set_ = false;
  volatile_is_set_ = false;

  // Of a set blob that could not be stored, libtpms does not tell.
  if (result != TPM_SUCCESS || failure_) {
    TPMLIB_Terminate();
    forget_set_blobs();
    if (failure_) {
      return base::fail(base::Error(*failure_).context("storing the TPM state"));
    }
    return base::fail(base::ErrorCode::kCorrupt,
                      "the TPM does not start from this state: " + describe(result));
  }
  running_ = true;
  auto started = store_.remove(BlobKind::kVolatile);
  if (started && resumes) {
    started = stir();
  }
  if (!started) {
    terminate();
  }
  return started;
}

base::Result<void> Engine::resume(base::SecretBytes permanent, base::SecretBytes volatile_blob) {
  if (running_ || awaits_start() || forked_while_running) {
    return base::fail(base::ErrorCode::kDenied, "there is a TPM in this process already");
  }
  failure_.reset();
  stored_permanent_ = std::move(permanent);
  stored_volatile_ = std::move(volatile_blob);
  resuming_ = true;
  const TPM_RESULT result = TPMLIB_MainInit();
  stored_permanent_.reset();
  stored_volatile_.reset();
  running_ = result == TPM_SUCCESS;
  auto resumed = checked(result, "going on with a TPM of another process");
  if (!resumed) {
    resumed.error().code = base::ErrorCode::kCorrupt;
  }
  if (resumed) {
    resumed = stir();
  }
  if (resumed && failure_) {
    resumed = base::fail(*failure_);
  }
  resuming_ = false;
  if (!resumed) {
    running_ = false;
    TPMLIB_Terminate();
  }
  return resumed;
}

base::Result<void> Engine::stir() {
  std::array<std::byte, 32> entropy;
  TRY(vmgs::crypto::random_bytes(entropy));
  auto command = protocol::stir_random(entropy);
  TRY_ASSIGN(response, process(protocol::Locality(), command));
  TRY_ASSIGN(header, protocol::decode_response_header(response));
  // A TPM that waits for its Startup cannot be stirred, and that reseeds by itself.
  if (header.code != protocol::ResponseCode::kSuccess &&
      header.code != protocol::ResponseCode::kInitialize) {
    return base::fail(base::ErrorCode::kUnavailable,
                      "fresh entropy was refused with " + protocol::describe(header.code));
  }
  return {};
}

void Engine::terminate() {
  if (running_) {
    running_ = false;
    next_store_fails_ = false;
    TPMLIB_Terminate();
  }
}

base::Result<void> Engine::expect_running() const {
  if (!running_) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is off");
  }
  if (forked_while_running) {
    return base::fail(base::ErrorCode::kDenied, "forked while the TPM was running");
  }
  return {};
}

base::Result<base::ByteView> Engine::process(protocol::Locality locality,
                                             std::span<std::byte> command) {
  TRY(expect_running());
  locality_ = locality;
  std::uint32_t size = 0;
  TRY(checked(TPMLIB_Process(&response_, &size, &response_capacity_,
                             reinterpret_cast<unsigned char*>(command.data()),
                             static_cast<std::uint32_t>(command.size())),
              "running a command"));
  return std::as_bytes(std::span(response_, size));
}

void Engine::cancel() { TPMLIB_CancelCommand(); }

base::Result<base::SecretBytes> Engine::state_blob(BlobKind kind) {
  TRY(expect_running());
  if (failure_) {
    return base::fail(base::ErrorCode::kDenied,
                      "the TPM is in failure mode: its state was not stored");
  }
  unsigned char* buffer = nullptr;
  std::uint32_t size = 0;
  TRY(checked(TPMLIB_GetState(state_type(kind), &buffer, &size), "taking the TPM state"));
  return take(buffer, size);
}

base::Result<void> Engine::set_state_blob(BlobKind kind, base::ByteView blob) {
  if (running_) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is running; stop it first");
  }
  // To libtpms a missing blob would mean an empty TPM.
  if (blob.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "the TPM state blob is empty");
  }
  if (kind == BlobKind::kPermanent) {
    forget_set_blobs();
  } else if (!permanent_is_set_) {
    TRY_ASSIGN(permanent, store_.load(BlobKind::kPermanent));
    stored_permanent_ = std::move(permanent);
  }
  const TPM_RESULT result =
      TPMLIB_SetState(state_type(kind), reinterpret_cast<const unsigned char*>(blob.data()),
                      static_cast<std::uint32_t>(blob.size()));
  stored_permanent_.reset();
  if (result != TPM_SUCCESS) {
    forget_set_blobs();
    return base::fail(base::ErrorCode::kCorrupt,
                      "the TPM does not accept this state: " + describe(result));
  }
  (kind == BlobKind::kPermanent ? permanent_is_set_ : volatile_is_set_) = true;
  return {};
}

void Engine::forget_set_blobs() {
  if (running_) {
    return;
  }
  // libtpms forgets them when the version changes; clearing them by name would mean "empty".
  TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_1_2);
  TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2);
  permanent_is_set_ = false;
  volatile_is_set_ = false;
}

base::Result<void> Engine::store_volatile() {
  TRY_ASSIGN(blob, state_blob(BlobKind::kVolatile));
  return store_.store(BlobKind::kVolatile, blob.expose());
}

BufferSize Engine::buffer_size() const {
  BufferSize size{};
  size.current = TPMLIB_SetBufferSize(0, &size.min, &size.max);
  return size;
}

base::Result<BufferSize> Engine::set_buffer_size(std::uint32_t wanted) {
  if (running_) {
    return base::fail(base::ErrorCode::kDenied, "the TPM is running; stop it first");
  }
  BufferSize size{};
  size.current = TPMLIB_SetBufferSize(wanted, &size.min, &size.max);
  return size;
}

base::Result<std::string> Engine::info(std::uint64_t flags) const {
  char* text = TPMLIB_GetInfo(static_cast<TPMLIB_InfoFlags>(flags));
  if (text == nullptr) {
    return base::fail(base::ErrorCode::kUnavailable, "libtpms gives no information");
  }
  std::string json(text);
  std::free(text);
  return json;
}

base::Result<void> Engine::hash_start() {
  TRY(expect_running());
  return checked(TPM_IO_Hash_Start(), "starting the hash sequence");
}

base::Result<void> Engine::hash_data(base::ByteView data) {
  TRY(expect_running());
  return checked(TPM_IO_Hash_Data(reinterpret_cast<const unsigned char*>(data.data()),
                                  static_cast<std::uint32_t>(data.size())),
                 "hashing");
}

base::Result<void> Engine::hash_end() {
  TRY(expect_running());
  return checked(TPM_IO_Hash_End(), "ending the hash sequence");
}

base::Result<bool> Engine::established() const {
  TRY(expect_running());
  TPM_BOOL bit = 0;
  TRY(checked(TPM_IO_TpmEstablished_Get(&bit), "reading tpmEstablished"));
  return bit != 0;
}

base::Result<void> Engine::reset_established(protocol::Locality locality) {
  TRY(expect_running());
  if (!locality.may_reset_established()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "tpmEstablished is reset from locality 3 or 4 only");
  }
  locality_ = locality;
  return checked(TPM_IO_TpmEstablished_Reset(), "resetting tpmEstablished");
}

void Engine::give_back_memory() {
  static const auto variables = zeroed_variables();
  base::give_back_zero_pages(variables);
}

std::uint32_t Engine::library_version() { return TPMLIB_GetVersion(); }

}  // namespace vtpm::engine

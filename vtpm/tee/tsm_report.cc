// SPDX-License-Identifier: Apache-2.0
#include "vtpm/tee/tsm_report.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "vmgs/crypto/random.h"
#include "vtpm/tee/retry.h"

namespace vtpm::tee {

namespace {

// The kernel's own bound is 32 KiB (TSM_REPORT_OUTBLOB_MAX).
constexpr std::size_t kMostBlobBytes = 64 * 1024;
constexpr std::size_t kMostTextBytes = 4096;

// What became of one step: nothing wrong, an errno value, or an answer to pass on.
struct Step {
  int error = 0;
  base::Bytes content{};
};

std::string text_of(base::ByteView bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

base::Error error_of(int error, const std::string& what) {
  const auto reason = what + ": " + std::generic_category().message(error);
  switch (error) {
    case EACCES:
    case EPERM:
      return {base::ErrorCode::kDenied,
              reason + "; only root may use configfs-tsm, so run as root or hand the folder over"};
    case EBUSY:
    case EINTR:
    case EAGAIN:
    case ETIMEDOUT:
      return {base::ErrorCode::kUnavailable, reason + "; it stays busy, try again"};
    case ENXIO:
    case ENOTTY:
      return {base::ErrorCode::kUnavailable,
              reason + "; no TEE driver is registered: load tdx-guest or sev-guest"};
    case EFBIG:
      return {base::ErrorCode::kIo,
              reason + "; the report is larger than this kernel hands out, update it"};
    default:
      return {base::ErrorCode::kIo, reason};
  }
}

// Folder is a report folder that is removed when it dies.
class Folder {
 public:
  static base::Result<Folder> make(Kernel& kernel, const std::filesystem::path& parent) {
    std::array<std::byte, 8> suffix{};
    TRY(vmgs::crypto::random_bytes(suffix));
    const auto path = parent / ("strongroom-" + base::to_hex(suffix));
    const int made = kernel.mkdir(path);
    if (made == -ENOENT) {
      return base::fail(base::ErrorCode::kUnavailable,
                        "there is no " + parent.string() +
                            ": it needs Linux 6.7 or later with configfs mounted (mount -t "
                            "configfs none /sys/kernel/config)");
    }
    if (made < 0) {
      return base::fail(error_of(-made, "cannot make " + path.string()));
    }
    return Folder(kernel, path);
  }

  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  Folder& operator=(Folder&&) = delete;

  Folder(Folder&& other) noexcept : kernel_(std::exchange(other.kernel_, nullptr)) {
    path_ = std::move(other.path_);
  }

  ~Folder() {
    if (kernel_ != nullptr) {
      kernel_->rmdir(path_);
    }
  }

  [[nodiscard]] Step read(const char* attribute, std::size_t most) const {
    auto file = KernelFile::open(*kernel_, path_ / attribute, O_RDONLY);
    if (!file.is_open()) {
      return {.error = file.error()};
    }
    base::Bytes content(most);
    std::size_t done = 0;
    while (done < most) {
      const auto got = kernel_->read(file.descriptor(), std::span(content).subspan(done));
      if (got < 0) {
        return {.error = static_cast<int>(-got)};
      }
      if (got == 0) {
        content.resize(done);
        return {.content = std::move(content)};
      }
      done += static_cast<std::size_t>(got);
    }
    return {.error = EFBIG};
  }

  // Binary attributes take what was written when the file is closed, text ones at once.
  [[nodiscard]] Step write(const char* attribute, base::ByteView content) const {
    auto file = KernelFile::open(*kernel_, path_ / attribute, O_WRONLY);
    if (!file.is_open()) {
      return {.error = file.error()};
    }
    const auto written = kernel_->write(file.descriptor(), content);
    if (written < 0) {
      return {.error = static_cast<int>(-written)};
    }
    if (static_cast<std::size_t>(written) != content.size()) {
      return {.error = EIO};
    }
    return {.error = -file.close()};
  }

  [[nodiscard]] base::Result<std::uint64_t> number(const char* attribute) const {
    const auto step = read(attribute, kMostTextBytes);
    if (step.error != 0) {
      return base::fail(error_of(step.error, "cannot read " + name(attribute)));
    }
    const auto text = text_of(step.content);
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
      return base::fail(base::ErrorCode::kIo,
                        name(attribute) + " holds '" + text + "', which is no number");
    }
    return value;
  }

  [[nodiscard]] std::string name(const char* attribute) const {
    return (path_ / attribute).string();
  }

 private:
  Folder(Kernel& kernel, std::filesystem::path path) : kernel_(&kernel), path_(std::move(path)) {}

  Kernel* kernel_;
  std::filesystem::path path_;
};

base::Result<void> check_provider(const Folder& folder, const std::string& expected) {
  const auto step = folder.read("provider", kMostTextBytes);
  if (step.error != 0) {
    return base::fail(error_of(step.error, "cannot read " + folder.name("provider")));
  }
  const auto provider = text_of(step.content);
  if (provider != expected) {
    return base::fail(base::ErrorCode::kDenied, "configfs-tsm is served by '" + provider +
                                                    "', this VM needs '" + expected + "'");
  }
  return {};
}

base::Result<void> check_privlevel(const Folder& folder, unsigned wanted) {
  TRY_ASSIGN(floor, folder.number("privlevel_floor"));
  if (wanted < floor) {
    return base::fail(base::ErrorCode::kDenied, "this kernel asks for reports of privilege level " +
                                                    std::to_string(floor) + " and above, not " +
                                                    std::to_string(wanted));
  }
  return {};
}

// One round: write what is asked, read what is answered. An errno value that is worth another round
// is returned as such.
struct Round {
  int busy = 0;
  base::Result<TsmReport> report = base::fail(base::ErrorCode::kIo, "not asked");
};

bool worth_another_round(int error) { return error == EBUSY || error == EINTR || error == EAGAIN; }

Round failed(int error, const std::string& what) {
  return {.busy = worth_another_round(error) ? error : 0,
          .report = base::fail(error_of(error, what))};
}

Round ask(const Folder& folder, const TsmRequest& request) {
  const auto before = folder.number("generation");
  if (!before) {
    return {.report = base::fail(before.error())};
  }
  std::uint64_t writes = 1;
  if (request.privlevel) {
    ++writes;
    const auto text = std::to_string(*request.privlevel);
    const auto step = folder.write("privlevel", base::bytes_of(text));
    if (step.error != 0) {
      return failed(step.error, "cannot write " + folder.name("privlevel"));
    }
  }
  const auto asked = folder.write("inblob", request.report_data);
  if (asked.error != 0) {
    return failed(asked.error, "cannot write " + folder.name("inblob"));
  }
  auto outblob = folder.read("outblob", kMostBlobBytes);
  if (outblob.error != 0) {
    return failed(outblob.error, "cannot read " + folder.name("outblob"));
  }
  auto auxblob = folder.read("auxblob", kMostBlobBytes);
  if (auxblob.error != 0 && auxblob.error != ENOENT) {
    return failed(auxblob.error, "cannot read " + folder.name("auxblob"));
  }
  const auto after = folder.number("generation");
  if (!after) {
    return {.report = base::fail(after.error())};
  }
  // Another number of writes: the report may answer somebody else's question.
  if (*after != *before + writes) {
    return failed(EBUSY, "somebody else writes to " + folder.name("inblob"));
  }
  return {.report = TsmReport{std::move(outblob.content), std::move(auxblob.content)}};
}

}  // namespace

base::Result<TsmReport> tsm_report(Kernel& kernel, const TsmRequest& request,
                                   const std::filesystem::path& folder) {
  TRY_ASSIGN(own, Folder::make(kernel, folder));
  TRY(check_provider(own, request.provider));
  if (request.privlevel) {
    TRY(check_privlevel(own, *request.privlevel));
  }
  Round round;
  retry(kernel, [&] {
    round = ask(own, request);
    return round.busy != 0 ? Again::kYes : Again::kNo;
  });
  TRY_ASSIGN(report, std::move(round.report));
  if (report.report.empty()) {
    return base::fail(base::ErrorCode::kIo, "configfs-tsm gave an empty report");
  }
  return report;
}

}  // namespace vtpm::tee

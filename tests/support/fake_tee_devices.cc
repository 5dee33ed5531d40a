// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_tee_devices.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "vtpm/tee/snp_tee.h"
#include "vtpm/tee/tdx_tee.h"

namespace tests::support {

namespace {

namespace tee = vtpm::tee;

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kMostBlobBytes = 16 * 1024;  // SEV_FW_BLOB_MAX_SIZE
constexpr unsigned kMostPrivlevel = 3;             // TSM_PRIVLEVEL_MAX

// copy_from() and copy_to() are the kernel's copies from and to the address space of the caller.
template <base::ByteLayout T>
T copy_from(std::uint64_t address) {
  T layout;
  std::memcpy(&layout, reinterpret_cast<const void*>(address), sizeof(T));
  return layout;
}

template <base::ByteLayout T>
void copy_to(std::uint64_t address, const T& layout) {
  std::memcpy(reinterpret_cast<void*>(address), &layout, sizeof(T));
}

void spoil_behind(std::uint64_t address, std::size_t size, std::size_t overrun) {
  std::memset(reinterpret_cast<void*>(address + size), 0, overrun);
}

}  // namespace

class FakeSevGuestFile final : public FakeFile {
 public:
  explicit FakeSevGuestFile(FakeSevGuest& device) : device_(device) {}

  int ioctl(unsigned long number, void* argument) override {
    const auto address = reinterpret_cast<std::uint64_t>(argument);
    auto call = copy_from<tee::SnpGuestRequestLayout>(address);
    if (call.message_version == 0) {
      return -EINVAL;
    }
    const int answer = device_.serve(number, call);
    copy_to(address, call);  // the driver copies it back whatever the answer
    return answer;
  }

 private:
  FakeSevGuest& device_;
};

FakeSevGuest::FakeSevGuest() {
  report.version = 3;
  report.policy = 0x30000;
  report.signature_algorithm = keybroker::evidence::kEcdsaP384Sha384;
  report.cpuid_family = 0x19;
  report.cpuid_model = 0x11;
  report.measurement.fill(std::byte{0x11});
  report.host_data.fill(std::byte{0x22});
  report.committed_tcb.fill(std::byte{0});
  report.committed_tcb[7] = std::byte{27};
  key.fill(std::byte{0x33});
}

std::optional<FakeMount::Opened> FakeSevGuest::open(const std::filesystem::path& path,
                                                    int /*flags*/) {
  if (path != tee::kSnpDevice) {
    return std::nullopt;
  }
  if (open_error != 0) {
    return Opened(-open_error);
  }
  return Opened(std::make_unique<FakeSevGuestFile>(*this));
}

int FakeSevGuest::serve(unsigned long number, tee::SnpGuestRequestLayout& call) {
  ++calls;
  call.exit_info_2 = 0xFF;  // SEV_RET_NO_FW_CALL
  if (message_key_lost_) {
    return -ENOTTY;
  }
  if (!failures.empty()) {
    const auto failure = failures.front();
    failures.pop_front();
    call.exit_info_2 = (std::uint64_t{failure.vmm} << 32) | failure.firmware;
    // Only a request that never left, or that the host put off, leaves the key usable.
    message_key_lost_ = failure.error == EIO && failure.vmm == 0;
    return -failure.error;
  }
  const auto address = call.request_address.value();
  if (address == 0 || call.response_address.value() == 0) {
    return -EINVAL;
  }
  switch (number) {
    case tee::kSnpGetReport:
      return serve_report(call, false, call);
    case tee::kSnpGetExtReport:
      return serve_report(call, true, call);
    case tee::kSnpGetDerivedKey: {
      key_request = copy_from<tee::SnpKeyRequestLayout>(address);
      tee::SnpKeyResponseLayout response{};
      response.status = key_status;
      if (key_status == 0) {
        response.key = key;
      }
      copy_to(call.response_address.value(), response);
      spoil_behind(call.response_address.value(), sizeof(response), overrun);
      call.exit_info_2 = 0;
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

int FakeSevGuest::serve_report(const tee::SnpGuestRequestLayout& call, bool extended,
                               tee::SnpGuestRequestLayout& answer) {
  const auto address = call.request_address.value();
  const auto request = copy_from<tee::SnpReportRequestLayout>(address);
  if (!base::is_all_zero(request.reserved)) {
    answer.exit_info_2 = tee::kSnpInvalidParameter;
    message_key_lost_ = true;
    return -EIO;
  }
  if (extended) {
    auto room = copy_from<tee::SnpExtReportRequestLayout>(address);
    const auto given = room.certificates_bytes.value();
    if (given > kMostBlobBytes || given % kPageBytes != 0) {
      return -EINVAL;
    }
    const auto pages = (certificates.size() + kPageBytes - 1) / kPageBytes * kPageBytes;
    const auto needed = wanted_bytes.value_or(static_cast<std::uint32_t>(pages));
    if (needed > given) {
      room.certificates_bytes = needed;
      copy_to(address, room);
      answer.exit_info_2 = std::uint64_t{tee::kSnpVmmInvalidLength} << 32;
      return -EIO;
    }
    auto* certificates_at = reinterpret_cast<std::byte*>(room.certificates_address.value());
    std::ranges::copy(certificates, certificates_at);
  }
  tee::SnpReportResponseLayout response{};
  response.status = report_status;
  response.report_bytes = report_bytes;
  response.report = report;
  if (keeps_report_data) {
    response.report.report_data = request.report_data;
  }
  copy_to(call.response_address.value(), response);
  spoil_behind(call.response_address.value(), sizeof(response), overrun);
  answer.exit_info_2 = 0;
  return 0;
}

namespace {

class FakeTdxGuestFile final : public FakeFile {
 public:
  explicit FakeTdxGuestFile(FakeTdxGuest& device) : device_(device) {}

  int ioctl(unsigned long number, void* argument) override {
    ++device_.calls;
    if (!device_.errors.empty()) {
      const int error = device_.errors.front();
      device_.errors.pop_front();
      return -error;
    }
    const auto address = reinterpret_cast<std::uint64_t>(argument);
    if (number == tee::kTdxGetReport0) {
      return get_report(address);
    }
    return number == tee::kTdxKeyGet && device_.has_key_get ? get_key(address) : -ENOTTY;
  }

 private:
  int get_report(std::uint64_t address) {
    auto request = copy_from<tee::TdxReportRequestLayout>(address);
    request.report = device_.report;
    if (device_.keeps_report_data) {
      request.report.report_data = request.report_data;
    }
    copy_to(address, request);
    spoil_behind(address, sizeof(request), device_.overrun);
    return 0;
  }

  int get_key(std::uint64_t address) {
    auto call = copy_from<tee::TdxKeyCallLayout>(address);
    device_.key_request = call.request;
    call.error = device_.key_status;
    if (device_.key_status == 0) {
      call.key = device_.key;
    }
    copy_to(address, call);
    spoil_behind(address, sizeof(call), device_.overrun);
    return device_.key_status == 0 ? 0 : -EIO;
  }

  FakeTdxGuest& device_;
};

}  // namespace

FakeTdxGuest::FakeTdxGuest() {
  report.tee = 0x81;
  report.mr_td.fill(std::byte{0x11});
  report.mr_config_id.fill(std::byte{0x22});
  report.tee_tcb_svn[0] = std::byte{6};
  fill_inner_hashes(report);
  key.fill(std::byte{0x33});
}

std::optional<FakeMount::Opened> FakeTdxGuest::open(const std::filesystem::path& path,
                                                    int /*flags*/) {
  if (path != tee::kTdxDevice) {
    return std::nullopt;
  }
  if (open_error != 0) {
    return Opened(-open_error);
  }
  return Opened(std::make_unique<FakeTdxGuestFile>(*this));
}

// A file of a report folder. Binary attributes are gathered and taken at close, whose result the
// kernel throws away; text attributes are taken at once.
class FakeTsmFile final : public FakeFile {
 public:
  FakeTsmFile(FakeTsm& tsm, std::string folder, std::string attribute)
      : tsm_(tsm), folder_(std::move(folder)), attribute_(std::move(attribute)) {}

  ssize_t read(std::span<std::byte> out) override {
    if (!content_) {
      if (const int error = load(); error != 0) {
        return error;
      }
    }
    const auto count = std::min(out.size(), content_->size() - offset_);
    std::copy_n(content_->begin() + static_cast<std::ptrdiff_t>(offset_), count, out.begin());
    offset_ += count;
    return static_cast<ssize_t>(count);
  }

  ssize_t write(base::ByteView bytes) override {
    auto& errors = tsm_.write_errors[attribute_];
    if (!errors.empty()) {
      const int error = errors.front();
      errors.pop_front();
      return -error;
    }
    if (attribute_ == "privlevel") {
      return write_privlevel(bytes);
    }
    if (written_.size() + bytes.size() > 64) {
      return -EFBIG;
    }
    written_.insert(written_.end(), bytes.begin(), bytes.end());
    return static_cast<ssize_t>(bytes.size());
  }

  int close() override {
    if (attribute_ == "inblob" && !written_.empty()) {
      auto& entry = tsm_.entries_[folder_];
      ++entry.generation;
      entry.inblob = written_;
    }
    return 0;
  }

 private:
  FakeTsm::Entry& entry() { return tsm_.entries_[folder_]; }

  ssize_t write_privlevel(base::ByteView bytes) {
    unsigned level = 0;
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    if (std::from_chars(text, text + bytes.size(), level).ec != std::errc() ||
        level > kMostPrivlevel || level < tsm_.privlevel_floor.value_or(0)) {
      return -EINVAL;
    }
    ++entry().generation;
    entry().privlevel = level;
    return static_cast<ssize_t>(bytes.size());
  }

  int load() {
    const auto text = [](const std::string& value) {
      return base::copy_of(base::bytes_of(value + "\n"));
    };
    if (attribute_ == "provider") {
      content_ = text(tsm_.name_);
    } else if (attribute_ == "generation") {
      content_ = text(std::to_string(entry().generation));
    } else if (attribute_ == "privlevel_floor") {
      content_ = text(std::to_string(*tsm_.privlevel_floor));
    } else if (attribute_ == "outblob" || attribute_ == "auxblob") {
      if (entry().inblob.empty()) {
        return -EINVAL;
      }
      const auto& answer = tsm_.answer_of(entry());
      if (answer.error != 0) {
        return -answer.error;
      }
      const auto& blob = attribute_ == "outblob" ? answer.report : answer.auxiliary;
      if (blob.size() > tsm_.most_bytes) {
        return -EFBIG;
      }
      content_ = blob;
    } else {
      return -EINVAL;
    }
    return 0;
  }

  FakeTsm& tsm_;
  std::string folder_;
  std::string attribute_;
  base::Bytes written_;
  std::optional<base::Bytes> content_;
  std::size_t offset_ = 0;
};

FakeTsm::Answer& FakeTsm::answer_of(Entry& entry) {
  if (intruders > 0) {
    --intruders;
    ++entry.generation;
    entry.inblob.assign(64, std::byte{0xEE});
  }
  if (entry.answered != entry.generation) {
    entry.answer = provider_(entry.inblob, entry.privlevel);
    if (entry.answer.error == 0) {
      entry.answered = entry.generation;
    }
  }
  return entry.answer;
}

std::optional<FakeMount::Opened> FakeTsm::open(const std::filesystem::path& path, int flags) {
  if (path.parent_path().parent_path() != tee::kTsmFolder) {
    return std::nullopt;
  }
  const auto folder = path.parent_path().filename().string();
  const auto attribute = path.filename().string();
  if (!entries_.contains(folder) || (attribute == "auxblob" && !has_auxiliary) ||
      (attribute.starts_with("privlevel") && !privlevel_floor)) {
    return Opened(-ENOENT);
  }
  const bool writes = (flags & O_ACCMODE) == O_WRONLY;
  if (writes != (attribute == "inblob" || attribute == "privlevel")) {
    return Opened(-EACCES);
  }
  return Opened(std::make_unique<FakeTsmFile>(*this, folder, attribute));
}

int FakeTsm::mkdir(const std::filesystem::path& path) {
  if (path.parent_path() != tee::kTsmFolder) {
    return -ENOENT;
  }
  if (mkdir_error != 0) {
    return -mkdir_error;
  }
  return entries_.emplace(path.filename().string(), Entry{}).second ? 0 : -EEXIST;
}

int FakeTsm::rmdir(const std::filesystem::path& path) {
  return path.parent_path() == tee::kTsmFolder && entries_.erase(path.filename().string()) == 1
             ? 0
             : -ENOENT;
}

}  // namespace tests::support

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "keybroker/evidence/snp_report.h"
#include "keybroker/evidence/td_report.h"
#include "tests/support/fake_kernel.h"
#include "vmgs/base/bytes.h"
#include "vtpm/tee/snp_abi.h"
#include "vtpm/tee/tdx_abi.h"

// Linux's TEE interfaces as its source has them (drivers/virt/coco), with firmware behind them
// whose answers a test sets. Where a request is malformed they refuse it as the drivers do.
namespace tests::support {

// /dev/sev-guest.
class FakeSevGuest final : public FakeMount {
 public:
  // An answer that goes wrong: what ioctl() gives, and exitinfo2.
  struct Failure {
    int error = 0;
    std::uint32_t firmware = 0;
    std::uint32_t vmm = 0;
  };

  FakeSevGuest();

  std::optional<Opened> open(const std::filesystem::path& path, int flags) override;

  int open_error = 0;

  // The report that is handed out, with the report data of each request put in.
  keybroker::evidence::SnpReportLayout report{};
  std::uint32_t report_status = 0;
  std::uint32_t report_bytes = keybroker::evidence::kSnpReportBytes;
  bool keeps_report_data = true;

  // The host's certificate table.
  base::Bytes certificates;
  std::optional<std::uint32_t> wanted_bytes;  // instead of what the table needs

  std::array<std::byte, 32> key{};
  std::uint32_t key_status = 0;

  // What goes wrong, one entry a call, before all goes well.
  std::deque<Failure> failures;

  // How many bytes too many are written behind a response.
  std::size_t overrun = 0;

  // What was asked for, and how often.
  vtpm::tee::SnpKeyRequestLayout key_request{};
  int calls = 0;

 private:
  friend class FakeSevGuestFile;

  int serve(unsigned long number, vtpm::tee::SnpGuestRequestLayout& call);
  int serve_report(const vtpm::tee::SnpGuestRequestLayout& call, bool extended,
                   vtpm::tee::SnpGuestRequestLayout& answer);

  bool message_key_lost_ = false;
};

// /dev/tdx_guest.
class FakeTdxGuest final : public FakeMount {
 public:
  FakeTdxGuest();

  std::optional<Opened> open(const std::filesystem::path& path, int flags) override;

  int open_error = 0;
  keybroker::evidence::TdReportLayout report{};
  bool keeps_report_data = true;

  bool has_key_get = false;  // as in paravisor kernels only
  std::array<std::byte, 32> key{};
  std::uint64_t key_status = 0;

  std::deque<int> errors;  // one a call
  std::size_t overrun = 0;

  vtpm::tee::TdxKeyRequestLayout key_request{};
  int calls = 0;
};

// configfs-tsm.
class FakeTsm final : public FakeMount {
 public:
  // What a provider answers to an inblob and a privilege level: an errno value or a report.
  struct Answer {
    int error = 0;
    base::Bytes report{};
    base::Bytes auxiliary{};
  };

  using Provider = std::function<Answer(base::ByteView inblob, unsigned privlevel)>;

  FakeTsm(std::string name, Provider provider)
      : name_(std::move(name)), provider_(std::move(provider)) {}

  std::optional<Opened> open(const std::filesystem::path& path, int flags) override;
  int mkdir(const std::filesystem::path& path) override;
  int rmdir(const std::filesystem::path& path) override;

  [[nodiscard]] std::size_t folders() const { return entries_.size(); }

  std::optional<unsigned> privlevel_floor;  // absent: this provider knows no levels
  bool has_auxiliary = false;
  int mkdir_error = 0;

  // How many of the next questions another process overwrites before they are answered.
  int intruders = 0;

  // What write() of an attribute, by name, gives next.
  std::map<std::string, std::deque<int>> write_errors;
  std::size_t most_bytes = 32 * 1024;

 private:
  friend class FakeTsmFile;

  struct Entry {
    std::uint64_t generation = 0;
    base::Bytes inblob;
    unsigned privlevel = 0;
    std::optional<std::uint64_t> answered;  // the generation that `answer` is for
    Answer answer;
  };

  Answer& answer_of(Entry& entry);

  std::string name_;
  Provider provider_;
  std::map<std::string, Entry> entries_;
};

}  // namespace tests::support

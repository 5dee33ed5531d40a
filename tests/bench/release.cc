// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <thread>

#include "keybroker/evidence/snp_certificates.h"
#include "keybroker/evidence/snp_report.h"
#include "keybroker/protocol/broker.pb.h"
#include "keybroker/store/postgres.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/contestant.h"
#include "tests/bench/disk.h"
#include "tests/bench/release_load.h"
#include "tests/bench/release_rate.h"
#include "tests/support/postgres_server.h"

namespace tests::bench {

namespace {

namespace pb = strongroom::broker::v1;
namespace protocol = keybroker::protocol;
namespace evidence = keybroker::evidence;
using base::ErrorCode;

constexpr double kDesignBoots = 2000;  // a second and region

// What one core needs for the evidence of one release, and nothing else.
class Verification {
 public:
  Verification(const TestBroker& at, const Start& start) : rules_(at.rules.evidence) {
    pb::ReleaseRequest request;
    request.ParseFromArray(start.release.data(), static_cast<int>(start.release.size()));
    report_ = base::copy_of(base::bytes_of(request.report()));
    table_ = base::copy_of(base::bytes_of(request.certificate_table()));
    policy_ = rules_.policy;
    policy_.report_data = evidence::Expectation::any();
  }

  [[nodiscard]] bool accepts(crypto::Time now) const {
    evidence::Evidence shown;
    shown.snp_report = report_;
    shown.snp_certificates =
        *evidence::certificates_of_table(table_, evidence::snp_signing_key(shown));
    const auto collateral = *rules_.collateral(shown);
    return evidence::verify(shown, policy_, collateral, *rules_.simulated, now).accepted;
  }

 private:
  const broker::EvidenceRules& rules_;
  evidence::Policy policy_;
  base::Bytes report_;
  base::Bytes table_;
};

struct Engine {
  std::string name;
  TestBroker::Connect connect;  // SQLite's own if there is none
};

// ReleaseBenchmark is all that is measured of a broker with its records in one engine.
class ReleaseBenchmark {
 public:
  ReleaseBenchmark(const Setting& setting, Report& report, const Engine& engine)
      : setting_(setting), report_(report), engine_(engine), at_(engine.connect), load_(at_) {}

  base::Result<void> run() {
    TRY(beside_the_limits());
    for (const std::size_t workers : {1U, 2U}) {
      TRY(rates(workers));
    }
    TRY(at_fixed_load());
    TRY(refusals());
    size();
    return {};
  }

 private:
  [[nodiscard]] std::size_t warm_up() const { return setting_.rounds / 10; }

  // One start after the other, and in turn with it what no broker can do without.
  base::Result<void> beside_the_limits() {
    const auto rounds = setting_.rounds + warm_up();
    TRY_ASSIGN(starts, load_.starts(rounds + 1));
    TRY_ASSIGN(vms, load_.vms(rounds));
    TestBroker::Thread thread(at_);
    TRY_ASSIGN(answers, boot(thread, starts.back(), load_.now(), nullptr));
    TRY_ASSIGN(line, claim_line(starts.back().vm_id));
    bare_.emplace(line, answers);
    const Verification verification(at_, starts.back());
    Disk disk(setting_.folder / "flushed");
    StartSamples ours;
    Sample verified;
    Sample written;
    Sample limit;
    Sample flushed;
    for (std::size_t round = 0; round < rounds; ++round) {
      const bool counts = round >= warm_up();
      std::array<std::chrono::nanoseconds, 3> times{};
      for (std::size_t turn = 0; turn < 4; ++turn) {
        const auto which = (turn + round) % 4;
        const auto now = load_.now();
        const Timer timer;
        if (which == 0) {
          TRY(boot(thread, starts.at(round), now, counts ? &ours : nullptr));
          continue;
        }
        if (which == 1 && !verification.accepts(now)) {
          return base::fail(ErrorCode::kUnavailable, "the evidence does not verify");
        }
        if (which == 2) {
          TRY(bare_->write(thread.records, vms.at(round), now));
        }
        if (which == 3) {
          disk.write();
        }
        times.at(which - 1) = timer.elapsed();
      }
      if (counts) {
        verified.add(times[0]);
        written.add(times[1]);
        flushed.add(times[2]);
        limit.add(times[0] + times[1]);
      }
    }
    report_.title("releases, records in " + engine_.name + ", one worker");
    report_.sample("challenge", ours.challenge, "us");
    report_.sample("release", ours.release, "us");
    report_.sample("boot anchor", ours.anchor, "us");
    report_.sample("a start: all three", ours.whole, "us");
    report_.sample("limit: its evidence verified, nothing else", verified, "us");
    report_.sample("limit: its three transactions, nothing else", written, "us");
    report_.sample("limit: 8 KiB written and flushed", flushed, "us");
    constexpr double kAim = 1 / 0.7;
    report_.compare("a start / its verification and transactions", ratio(ours.whole, limit), kAim);
    report_.note(
        fmt::format("a start / its verification: {:.2f}; / its transactions: {:.2f}; "
                    "its transactions / a flush: {:.2f}",
                    ours.whole.median() / verified.median(), ours.whole.median() / written.median(),
                    written.median() / flushed.median()));
    report_.note(fmt::format("one core verifies {:.0f} reports a second", 1e6 / verified.median()));
    release_median_ = ours.release.median();
    verification_median_ = verified.median();
    return {};
  }

  // As fast as they go, each worker with a connection of its own.
  base::Result<void> rates(std::size_t workers) {
    TRY_ASSIGN(starts, load_.starts(setting_.rounds));
    TRY_ASSIGN(vms, load_.vms(setting_.rounds));
    TRY_ASSIGN(ours, run_workers(load_, workers, starts.size(), {},
                                 [&](TestBroker::Thread& thread, std::size_t i) {
                                   return boot_only(thread, starts.at(i), load_.now());
                                 }));
    TRY_ASSIGN(bare, run_workers(load_, workers, vms.size(), {},
                                 [&](TestBroker::Thread& thread, std::size_t i) {
                                   return bare_->write(thread.records, vms.at(i), load_.now());
                                 }));
    const auto verified = static_cast<double>(workers) * 1e6 / verification_median_;
    report_.title(fmt::format("releases a second, records in {}, {} worker{}", engine_.name,
                              workers, workers == 1 ? "" : "s"));
    report_.figure("starts a second", ours.per_second(), "/s");
    report_.figure("limit: verifications, as many cores", verified, "/s");
    report_.figure("limit: transactions of starts, as many connections", bare.per_second(), "/s");
    report_.figure("starts / verifications", ours.per_second() / verified, "");
    report_.figure("starts / transactions of starts", ours.per_second() / bare.per_second(), "");
    report_.figure("processor time of the broker, a start", ours.worker_micros(), "us");
    report_.figure("processor time of the database's servers, a start", ours.server_micros(), "us");
    best_ = ours;
    best_bare_ = bare;
    return {};
  }

  // Starts come by the clock, whether the ones before are served or not.
  base::Result<void> at_fixed_load() {
    const double rate = best_.per_second() / 2;
    TRY_ASSIGN(starts, load_.starts(setting_.rounds));
    TRY_ASSIGN(ran, run_workers(load_, 2, starts.size(), rate,
                                [&](TestBroker::Thread& thread, std::size_t i) {
                                  return boot_only(thread, starts.at(i), load_.now());
                                }));
    report_.title(fmt::format("a start at a fixed load, records in {}, two workers", engine_.name));
    report_.note(fmt::format("{:.0f} starts a second: half of what two workers can do", rate));
    report_.sample("from its time to come to its last answer", ran.latency, "us");
    return {};
  }

  base::Result<void> refusals() {
    const auto count = std::max<std::size_t>(20, setting_.rounds / 5);
    report_.title("refusals of a release, records in " + engine_.name);
    TRY(refusal("challenge forged", {.challenge_is_forged = true}, count, true));
    TRY(refusal("the same, the host's log lines used up", {.challenge_is_forged = true}, count,
                false));
    TRY(refusal("VM unregistered", {.is_unregistered = true}, count, true));
    TRY(refusal("the same, the host's log lines used up", {.is_unregistered = true}, count, false));
    TRY(refusal("evidence with a forged signature", {.signature_is_forged = true}, count, true));
    TRY(refusal("policy denied", {.policy = integration::kDenying}, count, true));
    return too_many(count);
  }

  base::Result<void> refusal(const std::string& name, const Fault& fault, std::size_t count,
                             bool each_host_once) {
    TRY_ASSIGN(starts, load_.starts(count, fault));
    TestBroker::Thread thread(at_);
    Sample sample;
    std::string word;
    for (std::size_t i = 0; i < count; ++i) {
      const auto host = each_host_once ? fmt::format("{} {}", name, i) : std::string("flooding");
      const auto now = load_.now();
      const Timer timer;
      const auto answer = broker::answer_release(thread.worker, host, starts[i].release, now);
      if (each_host_once || i >= kStrangerLines) {
        sample.add(timer.elapsed());
      }
      word = integration::word_in(answer);
      if (!answer || word == "released") {
        return base::fail(ErrorCode::kUnavailable, name + ": " + word);
      }
    }
    return refused(fmt::format("{} ({})", name, word), sample);
  }

  // A host that asks too often for one VM.
  base::Result<void> too_many(std::size_t count) {
    TRY_ASSIGN(starts, load_.starts(1, {.is_unregistered = true}));
    TestBroker::Thread thread(at_);
    Sample sample;
    for (std::size_t i = 0; i < count; ++i) {
      const auto now = load_.now();
      const Timer timer;
      const auto answer =
          broker::answer_release(thread.worker, "hammering", starts[0].release, now);
      if (!answer) {
        sample.add(timer.elapsed());
      }
    }
    return refused("asked too often (unsigned)", sample);
  }

  base::Result<void> refused(const std::string& name, const Sample& sample) {
    report_.sample(name, sample, "us");
    report_.figure(name + " / a release", sample.median() / release_median_, "");
    return {};
  }

  // What the design load takes, by what was measured here.
  void size() {
    constexpr double kUtilisation = 0.6;
    constexpr double kReplicaCores = 8;
    const double broker_cores = kDesignBoots * best_.worker_micros() / 1e6;
    const double server_cores = kDesignBoots * best_.server_micros() / 1e6;
    const double planned = broker_cores / kUtilisation;
    const double replicas = std::ceil(planned / kReplicaCores) + 1;
    report_.title(fmt::format("{:.0f} starts a second, by these numbers, records in {}",
                              kDesignBoots, engine_.name));
    report_.figure("cores of brokers", broker_cores, "");
    report_.figure("cores of brokers, at 60 % of each", planned, "");
    report_.figure("brokers of 8 cores, one of them to spare", replicas, "");
    report_.figure("cores of the database's servers", server_cores, "");
    report_.note(
        fmt::format("{:.0f}/s x {:.0f} us of a broker's processor = {:.2f} cores; / 0.6 = "
                    "{:.2f}; in brokers of 8 cores {:.0f}, and one to spare",
                    kDesignBoots, best_.worker_micros(), broker_cores, planned, replicas - 1));
    if (!engine_.connect) {
      report_.note(fmt::format("SQLite is one machine's: {:.0f} starts a second are its most here",
                               best_bare_.per_second()));
      return;
    }
    report_.note(fmt::format(
        "{:.0f}/s x {:.0f} us of its processor = {:.2f} cores of one primary, which has to make "
        "{:.0f} durable commits a second; with two connections it made {:.0f} here, on {} cores "
        "that the brokers use too",
        kDesignBoots, best_.server_micros(), server_cores, 3 * kDesignBoots,
        3 * best_bare_.per_second(), std::thread::hardware_concurrency()));
    report_.note(
        "Not in these: TLS, HTTP, the AK's certificate, and what PostgreSQL does outside of its "
        "connections.");
  }

  // boot() is one start, in three steps; the bytes that its anchor was answered.
  static base::Result<base::Bytes> boot(TestBroker::Thread& thread, const Start& start,
                                        crypto::Time now, StartSamples* samples) {
    constexpr std::string_view kHost = "host-1";
    static broker::Certifiers certifiers;
    const Timer timer;
    TRY(broker::answer_challenge(thread.worker, kHost, start.challenge, now));
    const auto challenged = timer.elapsed();
    const auto released = broker::answer_release(thread.worker, kHost, start.release, now);
    const auto served = timer.elapsed();
    auto anchored = broker::answer_anchor(thread.worker, certifiers, kHost, start.anchor, now);
    const auto whole = timer.elapsed();
    if (integration::word_in(released) != "released" ||
        integration::word_in(anchored) != "anchored") {
      return base::fail(ErrorCode::kUnavailable, "a start ended with " +
                                                     integration::word_in(released) + ", " +
                                                     integration::word_in(anchored));
    }
    if (samples != nullptr) {
      samples->challenge.add(challenged);
      samples->release.add(served - challenged);
      samples->anchor.add(whole - served);
      samples->whole.add(whole);
    }
    return *std::move(anchored);
  }

  static base::Result<void> boot_only(TestBroker::Thread& thread, const Start& start,
                                      crypto::Time now) {
    TRY(boot(thread, start, now, nullptr));
    return {};
  }

  // What the log says of a VM's newest claim beside its facts.
  base::Result<std::string> claim_line(const protocol::Uuid& vm_id) {
    store::LogQuery query;
    query.subject = store::vm_subject(vm_id);
    query.kind = "claimed";
    TRY_ASSIGN(lines, at_.records.log(query));
    if (lines.empty()) {
      return base::fail(ErrorCode::kNotFound, "the log has no claim");
    }
    return lines.front().content;
  }

  static constexpr std::size_t kStrangerLines = 16;

  const Setting& setting_;
  Report& report_;
  const Engine& engine_;
  TestBroker at_;
  ReleaseLoad load_;
  std::optional<BareRecords> bare_;
  double release_median_ = 0;
  double verification_median_ = 0;
  Rate best_;
  Rate best_bare_;
};

}  // namespace

base::Result<void> releases(const Setting& setting, Report& report) {
  report.note("drawing three RSA-4096 keys for a simulated AMD");
  // The folders of both engines are to lie on the disk that is measured.
  ::setenv("TMPDIR", setting.folder.c_str(), 1);
  std::filesystem::permissions(setting.folder, std::filesystem::perms(0755));
  TRY_ASSIGN(server, support::PostgresServer::start());
  TRY(server.create_database("bench"));
  const std::array engines{
      Engine{"SQLite", {}},
      Engine{"PostgreSQL", [&] { return store::open_postgres(server.where("bench")); }}};
  for (const auto& engine : engines) {
    TRY(ReleaseBenchmark(setting, report, engine).run());
  }
  return {};
}

}  // namespace tests::bench

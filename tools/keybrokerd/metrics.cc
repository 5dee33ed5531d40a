// SPDX-License-Identifier: Apache-2.0
#include "tools/keybrokerd/metrics.h"

#include <prometheus/text_serializer.h>

namespace tools::keybrokerd {

namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

const prometheus::Histogram::BucketBoundaries& bounds() {
  static const prometheus::Histogram::BucketBoundaries seconds = {
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
  return seconds;
}

}  // namespace

Metrics::Metrics()
    : calls_(prometheus::BuildCounter()
                 .Name("keybroker_calls_total")
                 .Help("Calls by method and whether they succeeded")
                 .Register(registry_)),
      seconds_(prometheus::BuildHistogram()
                   .Name("keybroker_call_seconds")
                   .Help("How long calls took, by method")
                   .Register(registry_)),
      answers_(prometheus::BuildCounter()
                   .Name("keybroker_answers_total")
                   .Help("What VMs were told: released, anchored, or the word of a refusal")
                   .Register(registry_)),
      in_work_(gauge(registry_, "keybroker_requests_in_work", "Requests that are worked on")),
      waiting_(gauge(registry_, "keybroker_requests_waiting", "Requests that wait")),
      sent_away_(gauge(registry_, "keybroker_requests_sent_away",
                       "Requests that were sent away since the start, as too many waited")),
      turned_away_(gauge(registry_, "keybroker_callers_turned_away",
                         "Callers whose TLS handshake failed since the start")),
      ready_(gauge(registry_, "keybroker_ready", "1 while the records can be reached")) {}

void Metrics::called(const std::string& method, bool succeeded,
                     std::chrono::steady_clock::duration took) {
  calls_.Add({{"method", method}, {"succeeded", succeeded ? "true" : "false"}}).Increment();
  seconds_.Add({{"method", method}}, bounds()).Observe(std::chrono::duration<double>(took).count());
}

void Metrics::answered(const std::string& outcome) {
  answers_.Add({{"outcome", outcome}}).Increment();
}

void Metrics::load(std::size_t in_work, std::size_t waiting, std::uint64_t sent_away,
                   std::uint64_t turned_away) {
  in_work_.Set(static_cast<double>(in_work));
  waiting_.Set(static_cast<double>(waiting));
  sent_away_.Set(static_cast<double>(sent_away));
  turned_away_.Set(static_cast<double>(turned_away));
}

void Metrics::ready(bool is_ready) { ready_.Set(is_ready ? 1 : 0); }

std::string Metrics::text() const {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace tools::keybrokerd

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <string>

namespace tools::keybrokerd {

// Metrics is what a broker counts about itself, for /metrics in Prometheus' text form. Nothing in
// it names a VM or a tenant. Any thread.
class Metrics {
 public:
  Metrics();

  // called() counts a call by its method.
  void called(const std::string& method, bool succeeded, std::chrono::steady_clock::duration took);

  // answered() counts what a VM was told: "released", "anchored", or the word of a refusal.
  void answered(const std::string& outcome);

  // load() sets what is so at the moment.
  void load(std::size_t in_work, std::size_t waiting, std::uint64_t sent_away,
            std::uint64_t turned_away);

  // ready() sets whether the records can be reached.
  void ready(bool is_ready);

  [[nodiscard]] std::string text() const;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Family<prometheus::Counter>& answers_;
  prometheus::Gauge& in_work_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& sent_away_;
  prometheus::Gauge& turned_away_;
  prometheus::Gauge& ready_;
};

}  // namespace tools::keybrokerd

#include "cli/tuning.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/command.h"
#include "compiler/tune.h"

namespace posefix::cli {
namespace {

using compiler::TunedStep;
using compiler::TuneReport;

nlohmann::ordered_json to_json(const std::vector<TuneReport>& reports, const std::string& cpu_features) {
  auto batches = nlohmann::ordered_json::array();
  for (const TuneReport& report : reports) {
    auto layers = nlohmann::ordered_json::array();
    for (const TunedStep& step : report.steps) {
      auto candidates = nlohmann::ordered_json::array();
      for (size_t i = 0; i < step.candidates.size(); ++i) {
        candidates.push_back({{"name", plan::choice_name(step.candidates[i])}, {"ms", step.ms[i]}});
      }
      layers.push_back({{"name", step.name},
                        {"candidates", std::move(candidates)},
                        {"rule", plan::choice_name(step.candidates[0])},
                        {"chosen", plan::choice_name(step.candidates[step.chosen])}});
    }
    batches.push_back({{"batch", report.batch},
                       {"threads", report.threads},
                       {"rule_ms", report.rule_ms},
                       {"tuned_ms", report.tuned_ms},
                       {"layers", std::move(layers)}});
  }
  return {{"cpu_features", cpu_features}, {"batches", std::move(batches)}};
}

void print_table(const TuneReport& report) {
  std::printf("batch %lld, %d thread%s: ms of each way, the rule's first; * marks the chosen one\n",
              static_cast<long long>(report.batch), report.threads, report.threads == 1 ? "" : "s");
  size_t changed = 0;
  for (const TunedStep& step : report.steps) {
    std::string ways;
    for (size_t i = 0; i < step.candidates.size(); ++i) {
      ways +=
          fmt::format("  {} {:.3f}{}", plan::choice_name(step.candidates[i]), step.ms[i], i == step.chosen ? "*" : "");
    }
    if (step.chosen != 0) ++changed;
    std::printf("  %-40s%s\n", step.name.c_str(), ways.c_str());
  }
  std::printf("%zu of %zu steps differ from the rule; whole network: %.2f ms by the rule, %.2f ms tuned\n", changed,
              report.steps.size(), report.rule_ms, report.tuned_ms);
}

}  // namespace

void add_tuning_flags(CLI::App& app, TuningFlags& flags) {
  CLI::Option* const tune = app.add_flag(
      "--tune", flags.tune,
      "cpu: time every way to compute each convolution on this machine and store the fastest; on another CPU the "
      "plan follows the rule");
  app.add_option("--tune-batch", flags.batches, "--tune: persons at a time that sessions will be opened for")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024))
      ->needs(tune);
  app.add_option("--tune-threads", flags.threads, "--tune: threads of those sessions, 0: all cores")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024))
      ->needs(tune);
}

void check_tuning_flags(const TuningFlags& flags, const std::string& target, const std::string& precision) {
  if (!flags.tune) return;
  if (target != "cpu") throw bad_input("--tune goes with --target cpu, not with {}", target);
  if (precision == "int8") {
    throw bad_input("--tune goes with f32 and bf16: an int8 convolution can be computed in one way only");
  }
}

std::shared_ptr<const plan::Plan> tune_plan(const plan::Plan& plan, const TuningFlags& flags, bool json) {
  std::optional<Progress> progress;
  compiler::TuneRequest request;
  request.batches = flags.batches;
  request.threads = flags.threads;
  request.progress = [&](int64_t done, int64_t total, const std::string& what) {
    throw_if_interrupted();
    if (!progress) progress.emplace("tune", "sessions", total);
    progress->update(done, what);
  };
  std::vector<TuneReport> reports;
  auto tuned = compiler::tune(plan, request, reports);
  if (progress) progress->finish();
  if (json) {
    print_json(to_json(reports, tuned->metadata.cpu_features));
  } else {
    for (const TuneReport& report : reports) print_table(report);
  }
  return tuned;
}

}  // namespace posefix::cli

#include "compiler/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/error.h"
#include "base/rng.h"
#include "base/threads.h"

namespace posefix::compiler {
namespace {

constexpr int kStepRounds = 3;     // of one session in one turn
constexpr int kNetworkRounds = 9;  // of the whole network
constexpr double kWorthIt = 0.98;  // of the rule's time

using runtime::Session;
using runtime::StepTime;

class Tuner {
 public:
  // plan: names this CPU.
  Tuner(const plan::Plan& plan, const TuneRequest& request, int64_t batch)
      : plan_(plan), request_(request), batch_(batch) {
    options_.max_batch = batch;
    options_.threads = request.threads;
  }

  // `index`: of the batch among those that are tuned for.
  plan::Tuning run(size_t index, TuneReport& report) {
    report.batch = batch_;
    report.threads = request_.threads > 0 ? request_.threads : available_cores();
    find_candidates();
    size_t variants = 0;
    for (const TunedStep& step : steps_) variants = std::max(variants, step.candidates.size());
    // The same for every batch: all turns, and the comparison at the end.
    const size_t sessions = variants * static_cast<size_t>(request_.rounds) + 1;
    size_t done = index * sessions;
    const auto say = [&](const char* what) {
      if (!request_.progress) return;
      request_.progress(static_cast<int64_t>(done++), static_cast<int64_t>(sessions * request_.batches.size()),
                        fmt::format("batch {}: {}", batch_, what));
    };
    for (int round = 0; round < request_.rounds; ++round) {
      for (size_t variant = 0; variant < variants; ++variant) {
        say("steps");
        measure(variant);
      }
    }
    plan::Tuning tuning{batch_, report.threads, {}};
    for (size_t i = 0; i < steps_.size(); ++i) {
      TunedStep& step = steps_[i];
      const auto best = std::min_element(step.ms.begin(), step.ms.end());
      if (*best < kWorthIt * step.ms[0]) step.chosen = static_cast<size_t>(best - step.ms.begin());
      tuning.choices.push_back({indices_[i], step.candidates[step.chosen]});
    }
    say("whole network");
    compare(tuning, report);
    report.steps = std::move(steps_);
    return tuning;
  }

 private:
  std::unique_ptr<Session> open(const plan::Tuning& tuning) const {
    auto plan = std::make_shared<plan::Plan>(plan_);
    plan->tunings = {tuning};
    return runtime::open_session(std::move(plan), options_);
  }

  void find_candidates() {
    const auto session = open({batch_, 1, {}});
    persons_ = noise_persons(session->info(), batch_);
    for (StepTime& time : session->measure_steps(input(), 1)) {
      if (time.candidates.size() < 2) continue;
      indices_.push_back(time.step);
      std::vector<double> ms(time.candidates.size(), std::numeric_limits<double>::infinity());
      steps_.push_back({time.name, std::move(time.candidates), std::move(ms), 0});
    }
    if (steps_.empty()) throw bad_input("no step of this plan can be computed in more than one way on this CPU");
  }

  // Every step by its candidate of this number, or the rule's if it has fewer.
  void measure(size_t variant) {
    plan::Tuning tuning{batch_, 1, {}};
    std::vector<size_t> taken;
    for (size_t i = 0; i < steps_.size(); ++i) {
      taken.push_back(variant < steps_[i].candidates.size() ? variant : 0);
      tuning.choices.push_back({indices_[i], steps_[i].candidates[taken[i]]});
    }
    const auto session = open(tuning);
    session->measure_steps(input(), 1);  // what only the first run costs
    const std::vector<StepTime> times = session->measure_steps(input(), kStepRounds);
    size_t next = 0;  // of the steps with a choice
    std::vector<double> ms(kStepRounds, 0);
    const auto close = [&] {
      if (next == 0) return;
      double& least = steps_[next - 1].ms[taken[next - 1]];
      least = std::min(least, *std::min_element(ms.begin(), ms.end()));
    };
    for (const StepTime& time : times) {
      if (next < indices_.size() && time.step == indices_[next]) {
        close();
        ++next;
        std::fill(ms.begin(), ms.end(), 0);
      }
      for (size_t round = 0; round < ms.size(); ++round) ms[round] += time.runs[round].ms;
    }
    close();
  }

  void compare(const plan::Tuning& tuning, TuneReport& report) {
    const auto rule = open({batch_, 1, {}});
    const auto tuned = open(tuning);
    std::vector<double> of_rule, of_tuned;
    for (int round = 0; round <= kNetworkRounds; ++round) {  // the first warms up
      for (const auto& [session, ms] : {std::pair(rule.get(), &of_rule), std::pair(tuned.get(), &of_tuned)}) {
        const auto begin = std::chrono::steady_clock::now();
        session->run(input(), {coords_, spread_});
        const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
        if (round > 0) ms->push_back(elapsed.count());
      }
    }
    for (std::vector<double>* ms : {&of_rule, &of_tuned}) std::sort(ms->begin(), ms->end());
    report.rule_ms = of_rule[kNetworkRounds / 2];
    report.tuned_ms = of_tuned[kNetworkRounds / 2];
  }

  runtime::CropBatch input() {
    coords_.resize(persons_.pose.size());
    spread_.resize(persons_.valid.size());
    return {persons_.size, persons_.crops, persons_.pose, persons_.valid};
  }

  const plan::Plan& plan_;
  const TuneRequest& request_;
  int64_t batch_;
  runtime::SessionOptions options_;
  Persons persons_;
  std::vector<float> coords_, spread_;
  std::vector<int32_t> indices_;  // in the plan, of steps_
  std::vector<TunedStep> steps_;  // that have a choice
};

}  // namespace

Persons noise_persons(const runtime::ModelInfo& info, int64_t count) {
  Rng rng(1, 0, 0);
  Persons persons;
  persons.size = count;
  persons.crops.resize(static_cast<size_t>(count * info.height * info.width * 3));
  for (uint8_t& value : persons.crops) value = static_cast<uint8_t>(rng.below(256));
  for (int64_t joint = 0; joint < count * info.joints; ++joint) {
    persons.pose.push_back(static_cast<float>(rng.uniform(0, static_cast<double>(info.width))));
    persons.pose.push_back(static_cast<float>(rng.uniform(0, static_cast<double>(info.height))));
  }
  persons.valid.assign(static_cast<size_t>(count * info.joints), 1.0F);
  return persons;
}

std::shared_ptr<const plan::Plan> tune(const plan::Plan& plan, const TuneRequest& request,
                                       std::vector<TuneReport>& reports) {
  if (plan.metadata.target != "cpu")
    throw bad_input("a plan for {}: only plans for cpu are tuned", plan.metadata.target);
  if (request.batches.empty()) throw bad_input("no batch to tune for");
  TuneRequest ordered = request;
  std::sort(ordered.batches.begin(), ordered.batches.end());
  ordered.batches.erase(std::unique(ordered.batches.begin(), ordered.batches.end()), ordered.batches.end());
  auto result = std::make_shared<plan::Plan>(plan);
  result->tunings.clear();
  result->metadata.cpu_features = runtime::cpu_features();
  std::vector<plan::Tuning> tunings;
  for (size_t i = 0; i < ordered.batches.size(); ++i) {
    reports.emplace_back();
    tunings.push_back(Tuner(*result, ordered, ordered.batches[i]).run(i, reports.back()));
  }
  result->tunings = std::move(tunings);
  return result;
}

}  // namespace posefix::compiler

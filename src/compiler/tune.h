// The fastest way to compute every convolution of a plan on this CPU, by measuring.
//
// For every batch the same session code that will run the plan is opened once per candidate, with that candidate for
// every step that has it, and its steps are timed; sessions take turns, and the least time counts. A candidate's time
// is that of its step and of the steps without a choice that follow, since these may depend on its formats. The rule's
// choice stays unless another is faster by more than 2%: differences below that are noise.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "compiler/int8/calibrate.h"
#include "plan/plan.h"
#include "runtime/session.h"

namespace posefix::compiler {

struct TuneRequest {
  std::vector<int64_t> batches{1, 8};  // of sessions
  int threads = 0;                     // 0: all cores
  int rounds = 3;                      // turns of every candidate
  // Called before every session that is measured; may be empty, may throw to stop.
  std::function<void(int64_t done, int64_t total, const std::string& what)> progress;
};

struct TunedStep {
  std::string name;
  std::vector<plan::Choice> candidates;  // the rule's first
  std::vector<double> ms;                // of each
  size_t chosen = 0;
};

struct TuneReport {
  int64_t batch = 1;
  int threads = 1;
  double rule_ms = 0;   // the whole network, medians taken in turns
  double tuned_ms = 0;  //
  std::vector<TunedStep> steps;
};

// The plan with choices for this CPU. Error (bad input) for a plan that the cpu backend does not run, for batches
// outside 1 to 1024, or if no step has a choice.
std::shared_ptr<const plan::Plan> tune(const plan::Plan& plan, const TuneRequest& request,
                                       std::vector<TuneReport>& reports);

// Crops of noise with all joints inside, for measuring: the time does not depend on what a picture shows.
Persons noise_persons(const runtime::ModelInfo& info, int64_t count);

}  // namespace posefix::compiler

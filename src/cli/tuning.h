// posefix compile --tune: the plan with the fastest way of computing every convolution on this CPU, and the table of
// what was measured.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace posefix::cli {

struct TuningFlags {
  bool tune = false;
  std::vector<int64_t> batches{1, 8};
  int threads = 0;
};

void add_tuning_flags(CLI::App& app, TuningFlags& flags);
// Error (bad input) for flags that do not go together; before anything is compiled.
void check_tuning_flags(const TuningFlags& flags, const std::string& target, const std::string& precision);

// Progress on stderr, the table on stdout (as JSON if wanted).
std::shared_ptr<const plan::Plan> tune_plan(const plan::Plan& plan, const TuningFlags& flags, bool json);

}  // namespace posefix::cli

#include "cli/step_trace.h"

#include <nlohmann/json.hpp>

namespace posefix::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;
constexpr int kRunTrack = 1;
constexpr int kStepTrack = 2;

Json name_event(const char* what, int track, const std::string& name) {
  return {{"ph", "M"}, {"name", what}, {"pid", kProcess}, {"tid", track}, {"args", {{"name", name}}}};
}

Json complete_event(const std::string& name, int track, double start_ms, double end_ms, Json args) {
  return {{"ph", "X"},       {"name", name}, {"ts", start_ms * 1e3},   {"dur", (end_ms - start_ms) * 1e3},
          {"pid", kProcess}, {"tid", track}, {"args", std::move(args)}};
}

}  // namespace

std::string step_trace(const std::vector<runtime::StepTime>& steps, const std::string& title) {
  Json events = Json::array();
  events.push_back(name_event("process_name", kRunTrack, title));
  events.push_back(name_event("thread_name", kRunTrack, "runs"));
  events.push_back(name_event("thread_name", kStepTrack, "steps"));
  for (size_t round = 0; round < steps.front().runs.size(); ++round) {
    const runtime::StepRun& last = steps.back().runs[round];
    events.push_back(complete_event("run", kRunTrack, steps.front().runs[round].start_ms, last.start_ms + last.ms,
                                    {{"round", round + 1}}));
    for (const runtime::StepTime& step : steps) {
      const runtime::StepRun& run = step.runs[round];
      events.push_back(complete_event(
          step.name, kStepTrack, run.start_ms, run.start_ms + run.ms,
          {{"kernel", step.kernel}, {"precision", step.precision}, {"gflop", step.gflop}, {"mbyte", step.mbyte}}));
    }
  }
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump();
}

}  // namespace posefix::cli

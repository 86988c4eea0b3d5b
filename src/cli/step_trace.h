// Measured steps as a timeline that chrome://tracing and Perfetto open: Trace Event Format, a JSON object with
//   traceEvents: complete events {"ph": "X", "name", "ts", "dur" (microseconds), "pid", "tid", "args"}
// on two tracks: a step per event, and above them the runs that they add up to. The steps of a run follow each other;
// each is the work of all the session's threads.
#pragma once

#include <string>
#include <vector>

#include "runtime/session.h"

namespace posefix::cli {

// `title` names the process in the viewer. The steps are those of one measurement, with as many runs each.
std::string step_trace(const std::vector<runtime::StepTime>& steps, const std::string& title);

}  // namespace posefix::cli

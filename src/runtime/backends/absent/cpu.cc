// Stands in for backends/cpu in a build without oneDNN.
#include "base/error.h"
#include "runtime/backend.h"

namespace posefix::runtime {

bool cpu_computes(const std::string& /*precision*/) { return false; }

std::string cpu_features() { return ""; }

// NOLINTNEXTLINE(performance-unnecessary-value-param): the real one keeps the plan
std::unique_ptr<Session> open_cpu(const PlanPointer& /*plan*/, const SessionOptions& /*options*/) {
  throw bad_input("the cpu backend was not built in (POSEFIX_ONEDNN=OFF); use --backend reference");
}

}  // namespace posefix::runtime

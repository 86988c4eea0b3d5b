// Which backend opens what: the one place that knows them all.
#include <string>
#include <utility>

#include "base/error.h"
#include "plan/plan_file.h"
#include "runtime/backend.h"
#include "runtime/backends/ascend/ascend_session.h"

namespace posefix::runtime {

std::unique_ptr<Session> open_session(const std::filesystem::path& plan, const SessionOptions& options) {
  if (options.backend == "torch") return open_torch(plan, options);
  if (options.backend == "ascend" || plan.extension() == ".om") return ascend::open_ascend(plan, options);
  try {
    return open_session(plan::read_plan(plan), options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(plan.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(plan.string());
  }
}

std::unique_ptr<Session> open_session(PlanPointer plan, const SessionOptions& options) {
  const std::string backend = options.backend.empty() ? plan->metadata.target : options.backend;
  if (options.max_batch < 1 || options.max_batch > 1024) {
    throw bad_input("a batch of {}, expected 1 to 1024", options.max_batch);
  }
  if (options.threads < 0 || options.threads > 1024) {
    throw bad_input("{} threads, expected 1 to 1024, or 0 for all cores", options.threads);
  }
  if (backend == "reference") return open_reference(std::move(plan), options);
  if (backend == "cpu") return open_cpu(std::move(plan), options);
  throw bad_input("a plan for '{}' asked to run on the backend '{}'; plans run on cpu and reference",
                  plan->metadata.target, backend);
}

}  // namespace posefix::runtime

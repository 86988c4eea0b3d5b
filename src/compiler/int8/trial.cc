#include "compiler/int8/trial.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/interrupt.h"

namespace posefix::compiler {

std::unique_ptr<runtime::Session> open_trial(Program program, int64_t max_batch) {
  plan_memory(program.plan);
  runtime::SessionOptions options;
  options.backend = runtime::cpu_computes(program.plan.metadata.precision) ? "cpu" : "reference";
  options.max_batch = max_batch;
  return runtime::open_session(pack(std::move(program)), options);
}

std::vector<float> answers(runtime::Session& session, const Persons& persons, int64_t count,
                           const std::function<void(int64_t batch)>& visit) {
  const runtime::ModelInfo& info = session.info();
  const auto crop = static_cast<size_t>(info.height * info.width * 3);
  const auto joints = static_cast<size_t>(info.joints);
  std::vector<float> coords(static_cast<size_t>(count) * joints * 2);
  for (int64_t first = 0; first < count; first += session.max_batch()) {
    throw_if_interrupted();
    const int64_t batch = std::min(session.max_batch(), count - first);
    const auto begin = static_cast<size_t>(first);
    const auto size = static_cast<size_t>(batch);
    session.run({batch, std::span(persons.crops).subspan(begin * crop, size * crop),
                 std::span(persons.pose).subspan(begin * joints * 2, size * joints * 2),
                 std::span(persons.valid).subspan(begin * joints, size * joints)},
                {std::span(coords).subspan(begin * joints * 2, size * joints * 2), {}});
    if (visit) visit(batch);
  }
  return coords;
}

Difference difference(std::span<const float> a, std::span<const float> b) {
  Difference result;
  for (size_t i = 0; i < a.size(); i += 2) {
    double distance = std::hypot(double{a[i]} - double{b[i]}, double{a[i + 1]} - double{b[i + 1]});
    if (!std::isfinite(distance)) distance = std::numeric_limits<double>::infinity();
    result.worst_px = std::max(result.worst_px, distance);
    result.mean_px += distance;
  }
  const size_t points = a.size() / 2;
  if (points > 0) result.mean_px /= static_cast<double>(points);
  return result;
}

}  // namespace posefix::compiler

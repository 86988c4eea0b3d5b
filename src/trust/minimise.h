// The minimum of a smooth function of a few numbers, by BFGS with a backtracking line search.
//
// Deterministic. Never worse than the start. Non-goals: many dimensions, constraints.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace posefix::trust {

// Value at x [N]; fills the gradient [N]. A gradient component that is always 0 keeps its number as it is.
using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

std::vector<double> minimise(const Objective& objective, std::vector<double> start);

}  // namespace posefix::trust

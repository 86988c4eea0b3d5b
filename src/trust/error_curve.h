// How far from the truth joints lie, by the spread of their heat map: isotonic regression.
#pragma once

#include <cstddef>
#include <vector>

namespace posefix::trust {

struct SpreadError {
  double spread_px = 0;  // crop_px, positive
  double error_px = 0;   // crop_px
};

// Knots of a piecewise curve, linear in ln(spread): both lists ascending, spreads strictly.
struct ErrorCurve {
  std::vector<double> spread_px;
  std::vector<double> error_px;
};

// At most `most_knots` bins of about equal size, their mean errors pooled until they never fall (pool adjacent
// violators). Needs at least one value.
ErrorCurve fit_error_curve(std::vector<SpreadError> values, size_t most_knots = 16);

}  // namespace posefix::trust

#include <cmath>

#include "kernels/kernels.h"

namespace posefix::kernels {
namespace {

constexpr double kFinitePoints[] = {0, 1, -1, 2, -2};

}  // namespace

void filter_factors(int window, int taps, double* factors) {
  const int finite = window - 1;
  for (int j = 0; j < finite; ++j) {
    double divisor = 1;
    for (int other = 0; other < finite; ++other) {
      if (other != j) divisor *= kFinitePoints[j] - kFinitePoints[other];
    }
    for (int k = 0; k < taps; ++k) factors[j * taps + k] = std::pow(kFinitePoints[j], k) / divisor;
  }
  for (int k = 0; k < taps; ++k) factors[finite * taps + k] = k == taps - 1 ? 1 : 0;
}

}  // namespace posefix::kernels

#include "trust/minimise.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace posefix::trust {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

// Row-major [N,N], the approximate inverse of the second derivatives.
class InverseHessian {
 public:
  explicit InverseHessian(size_t size) : size_(size) { reset(); }
  void reset() {
    values_.assign(size_ * size_, 0);
    for (size_t i = 0; i < size_; ++i) values_[i * size_ + i] = 1;
  }
  Vector times(const Vector& x) const {
    Vector y(size_, 0);
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < size_; ++j) y[i] += values_[i * size_ + j] * x[j];
    }
    return y;
  }
  // BFGS: `step` in x changed the gradient by `change`; their product is positive.
  void update(const Vector& step, const Vector& change) {
    const double rho = 1 / dot(step, change);
    const Vector moved = times(change);
    const double factor = rho * rho * dot(change, moved) + rho;
    for (size_t i = 0; i < size_; ++i) {
      for (size_t j = 0; j < size_; ++j) {
        values_[i * size_ + j] += factor * step[i] * step[j] - rho * (moved[i] * step[j] + step[i] * moved[j]);
      }
    }
  }

 private:
  size_t size_;
  Vector values_;
};

}  // namespace

std::vector<double> minimise(const Objective& objective, Vector x) {
  constexpr int kIterations = 200;
  constexpr int kHalvings = 30;
  constexpr double kArmijo = 1e-4;
  constexpr double kSmallestGain = 1e-10;  // relative
  constexpr double kLongestStep = 2;       // in any number
  Vector gradient(x.size()), next_gradient(x.size()), next(x.size());
  double value = objective(x, gradient);
  InverseHessian inverse(x.size());
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    Vector direction = inverse.times(gradient);
    double slope = dot(direction, gradient);
    if (!(slope > 0)) {
      inverse.reset();
      direction = gradient;
      slope = dot(direction, gradient);
    }
    double longest = 0;
    for (const double d : direction) longest = std::max(longest, std::abs(d));
    double length = std::min(1.0, kLongestStep / std::max(longest, 1e-300));
    double next_value = value;
    for (int halving = 0; halving < kHalvings; ++halving, length /= 2) {
      for (size_t i = 0; i < x.size(); ++i) next[i] = x[i] - length * direction[i];
      next_value = objective(next, next_gradient);
      if (next_value <= value - kArmijo * length * slope) break;
    }
    if (!(next_value < value)) break;
    Vector step(x.size()), change(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      step[i] = next[i] - x[i];
      change[i] = next_gradient[i] - gradient[i];
    }
    if (dot(step, change) > 1e-12) inverse.update(step, change);
    const double gain = value - next_value;
    x = next;
    gradient = next_gradient;
    value = next_value;
    if (gain <= kSmallestGain * (1 + std::abs(value))) break;
  }
  return x;
}

}  // namespace posefix::trust

#include "plan/weight.h"

#include "base/error.h"
#include "base/mapped_pages.h"

namespace posefix::plan {

Weight::Weight(Tensor stored, std::vector<double> factors, size_t run)
    : stored_(std::move(stored)), factors_(std::move(factors)), run_(run) {
  PFX_CHECK(!factors_.empty() && run_ > 0 && stored_.f32().size() % (factors_.size() * run_) == 0);
}

void Weight::release_pages() const { posefix::release_pages(stored_.bytes()); }

Tensor Weight::values() const {
  if (factors_.empty()) return stored_;
  Tensor result(DType::kF32, stored_.shape());
  const float* from = stored_.f32().data();
  const std::span<float> out = result.mutable_f32();
  for (auto to = out.begin(); to != out.end();) {
    for (const double factor : factors_) {
      for (size_t i = 0; i < run_; ++i) *to++ = static_cast<float>(double{*from++} * factor);
    }
  }
  return result;
}

}  // namespace posefix::plan

#include "train/loss_scale.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"

namespace posefix::train {

void LossScale::update(bool finite) {
  if (!finite) {
    if (value_ <= kLeast) {
      throw failed(
          "the gradients overflow f16 even with a loss scale of {}; train.precision bf16 or f32 has the range for them",
          value_);
    }
    value_ = std::max(kLeast, value_ / 2);
    good_ = 0;
    ++skipped_;
  } else if (++good_ == kGrowAfter) {
    value_ *= 2;
    good_ = 0;
  }
}

Tensor LossScale::state() const {
  const std::array<double, 3> values{value_, static_cast<double>(good_), static_cast<double>(skipped_)};
  Tensor result(DType::kF64, {3});
  std::memcpy(result.mutable_bytes().data(), values.data(), sizeof values);
  return result;
}

void LossScale::restore(const Tensor& state) {
  std::array<double, 3> values{};
  if (state.dtype() != DType::kF64 || state.bytes().size() != sizeof values) {
    throw bad_input("train/loss_scale: expected 3 numbers in f64, found {} {}", dtype_name(state.dtype()),
                    to_string(state.shape()));
  }
  std::memcpy(values.data(), state.bytes().data(), sizeof values);
  value_ = values[0];
  good_ = static_cast<int64_t>(values[1]);
  skipped_ = static_cast<int64_t>(values[2]);
}

}  // namespace posefix::train

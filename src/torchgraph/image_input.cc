#include "torchgraph/image_input.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace posefix::torchgraph {

at::Tensor subtract_mean(std::span<const uint8_t> crops, int64_t batch, int64_t height, int64_t width,
                         const std::array<double, 3>& mean) {
  const int64_t pixels = height * width;
  PFX_CHECK(static_cast<int64_t>(crops.size()) == batch * pixels * 3);
  std::array<std::array<float, 256>, 3> table{};
  for (size_t channel = 0; channel < 3; ++channel) {
    for (size_t value = 0; value < 256; ++value) {
      table[channel][value] = static_cast<float>(static_cast<double>(value) - mean[channel]);
    }
  }
  at::Tensor image = at::empty({batch, 3, height, width}, at::TensorOptions().dtype(at::kFloat));
  float* out = image.data_ptr<float>();
  const uint8_t* in = crops.data();
  for (int64_t b = 0; b < batch; ++b, in += pixels * 3, out += pixels * 3) {
    for (int64_t i = 0; i < pixels; ++i) {
      out[i] = table[0][in[3 * i]];
      out[pixels + i] = table[1][in[3 * i + 1]];
      out[2 * pixels + i] = table[2][in[3 * i + 2]];
    }
  }
  return image;
}

at::Tensor copy_f32(std::span<const float> values, const std::vector<int64_t>& shape) {
  at::Tensor result = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  PFX_CHECK(result.numel() == static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), result.data_ptr<float>());
  return result;
}

}  // namespace posefix::torchgraph

#include "torchgraph/image_input.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "torchgraph/transfer.h"

namespace posefix::torchgraph {

namespace {

using Table = std::array<std::array<float, 256>, 3>;  // of a channel and a byte

Table table_of(const std::array<double, 3>& mean) {
  Table table{};
  for (size_t channel = 0; channel < 3; ++channel) {
    for (size_t value = 0; value < 256; ++value) {
      table[channel][value] = static_cast<float>(static_cast<double>(value) - mean[channel]);
    }
  }
  return table;
}

at::Tensor look_up_on_cpu(std::span<const uint8_t> crops, int64_t batch, int64_t height, int64_t width,
                          const Table& table) {
  const int64_t pixels = height * width;
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

}  // namespace

ByteTable byte_table(const std::array<double, 3>& mean, const at::Device& device) {
  Table table = table_of(mean);
  return {send(at::from_blob(table.data(), {3 * 256}, at::kFloat).clone(), device),
          send(at::arange(0, 3 * 256, 256, at::kInt), device)};
}

at::Tensor look_up(const at::Tensor& bytes, const ByteTable& table) {
  const at::Tensor index = bytes.permute({0, 3, 1, 2}).to(at::kInt) + table.channel.view({1, 3, 1, 1});
  return table.values.index_select(0, index.flatten()).view(index.sizes());
}

at::Tensor subtract_mean(std::span<const uint8_t> crops, int64_t batch, int64_t height, int64_t width,
                         const std::array<double, 3>& mean, const at::Device& device) {
  PFX_CHECK(static_cast<int64_t>(crops.size()) == batch * height * width * 3);
  if (device.is_cpu()) return look_up_on_cpu(crops, batch, height, width, table_of(mean));
  // from_blob() takes no const; nothing is written.
  const at::Tensor host = at::from_blob(const_cast<uint8_t*>(crops.data()), {batch, height, width, 3}, at::kByte);
  return look_up(send(host, device), byte_table(mean, device));
}

at::Tensor copy_f32(std::span<const float> values, const std::vector<int64_t>& shape) {
  at::Tensor result = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  PFX_CHECK(result.numel() == static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), result.data_ptr<float>());
  return result;
}

}  // namespace posefix::torchgraph

// The network's image input from 8-bit crops.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace posefix::torchgraph {

// crops [B,H,W,3] u8 -> [B,3,H,W] f32 on the device: float(double(value) - mean of its channel), exactly as the
// reference computes it. Channel order is kept (BGR in, BGR out). To another device than the CPU the bytes travel, a
// quarter of the floats, and the values are looked up there: the CPU's to the bit.
at::Tensor subtract_mean(std::span<const uint8_t> crops, int64_t batch, int64_t height, int64_t width,
                         const std::array<double, 3>& mean, const at::Device& device = at::kCPU);

// The same in two steps, for bytes that are on a device already. Byte v of channel c becomes values[256 * c + v].
struct ByteTable {
  at::Tensor values;   // [768] f32
  at::Tensor channel;  // [3] i32: where a channel's values begin
};
ByteTable byte_table(const std::array<double, 3>& mean, const at::Device& device);
// bytes [B,H,W,3] u8 on the table's device -> [B,3,H,W] f32
at::Tensor look_up(const at::Tensor& bytes, const ByteTable& table);

// A copy of `values` with that shape on the CPU.
at::Tensor copy_f32(std::span<const float> values, const std::vector<int64_t>& shape);

}  // namespace posefix::torchgraph

// Tensors on their way from the host to a device.
#pragma once

#include <ATen/core/Tensor.h>

namespace posefix::torchgraph {

// `host`, a CPU tensor, on `device`; the same tensor where that is the CPU. Does not wait for CUDA: the copy is queued
// behind the device's work, from page-locked memory that LibTorch keeps until the copy is done. `host` may be changed
// or freed at once.
at::Tensor send(const at::Tensor& host, const at::Device& device);

// The same into `to`, memory of a device that is there already, of the same shape and type.
void send_into(const at::Tensor& host, const at::Tensor& to);

}  // namespace posefix::torchgraph

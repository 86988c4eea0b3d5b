#include "torchgraph/transfer.h"

#include <ATen/ATen.h>

namespace posefix::torchgraph {

at::Tensor send(const at::Tensor& host, const at::Device& device) {
  if (device.is_cuda() && host.is_cpu()) return host.pin_memory().to(device, host.scalar_type(), true);
  return host.to(device);
}

void send_into(const at::Tensor& host, const at::Tensor& to) {
  if (to.is_cuda()) {
    to.copy_(host.pin_memory(), true);
  } else {
    to.copy_(host);
  }
}

}  // namespace posefix::torchgraph

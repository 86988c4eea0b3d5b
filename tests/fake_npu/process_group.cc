// HCCL's part of the stand-in for torch_npu: Gloo over the fake device's memory.
#include <ATen/ATen.h>

#include "torch_npu/csrc/distributed/ProcessGroupHCCL.hpp"

namespace c10d_npu {
namespace {

constexpr const char* kBackendName = "hccl";

std::vector<at::Tensor> on_cpu(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> aliases;
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(tensor.device().type() == c10::DeviceType::PrivateUse1, "fake HCCL: a tensor of ", tensor.device());
    aliases.push_back(at::from_blob(
        tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, tensor.options().device(at::kCPU)));
  }
  return aliases;
}

}  // namespace

ProcessGroupHCCL::Options::Options(bool /*is_high_priority_stream*/)
    : posefix::train::ProcessGroup::Options(kBackendName, std::chrono::minutes(30)) {}

c10::intrusive_ptr<ProcessGroupHCCL::Options> ProcessGroupHCCL::Options::create(bool is_high_priority_stream) {
  return c10::make_intrusive<Options>(is_high_priority_stream);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): torch_npu's signature
ProcessGroupHCCL::ProcessGroupHCCL(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                   c10::intrusive_ptr<Options> options)
    : posefix::train::ProcessGroup(rank, size) {
  const auto gloo = c10d::ProcessGroupGloo::Options::create(options->timeout);
  gloo->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
}

const std::string ProcessGroupHCCL::getBackendName() const { return kBackendName; }

c10::intrusive_ptr<c10d::Work> ProcessGroupHCCL::allreduce(std::vector<at::Tensor>& tensors,
                                                           const c10d::AllreduceOptions& options) {
  std::vector<at::Tensor> aliases = on_cpu(tensors);
  return gloo_->allreduce(aliases, options);
}

c10::intrusive_ptr<c10d::Work> ProcessGroupHCCL::broadcast(std::vector<at::Tensor>& tensors,
                                                           const c10d::BroadcastOptions& options) {
  std::vector<at::Tensor> aliases = on_cpu(tensors);
  return gloo_->broadcast(aliases, options);
}

}  // namespace c10d_npu

// A stand-in for HCCL: connects processes whose tensors lie on the fake NPU, by Gloo over the same memory. What
// POSEFIX_HCCL_LIBRARY names; see train/process_group.h for what such a library exports.
#include <ATen/ATen.h>

#include "train/process_group.h"

namespace fake_npu {
namespace {

using posefix::train::ProcessGroup;
using posefix::train::ProcessGroupPtr;
using posefix::train::StorePtr;

class FakeHccl final : public ProcessGroup {
 public:
  FakeHccl(const StorePtr& store, int rank, int world, std::chrono::milliseconds timeout) : ProcessGroup(rank, world) {
    const auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, world, options);
  }

  const std::string getBackendName() const override { return "fake_hccl"; }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    std::vector<at::Tensor> aliases = on_cpu(tensors);
    return gloo_->allreduce(aliases, options);
  }
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    std::vector<at::Tensor> aliases = on_cpu(tensors);
    return gloo_->broadcast(aliases, options);
  }

 private:
  // As the real one, it refuses tensors of another device.
  static std::vector<at::Tensor> on_cpu(const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> aliases;
    for (const at::Tensor& tensor : tensors) {
      TORCH_CHECK(tensor.device().type() == c10::DeviceType::PrivateUse1, "fake HCCL: a tensor of ", tensor.device());
      aliases.push_back(at::from_blob(
          tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, tensor.options().device(at::kCPU)));
    }
    return aliases;
  }

  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
};

}  // namespace
}  // namespace fake_npu

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) void posefix_make_process_group(
    const posefix::train::StorePtr& store, int rank, int world, std::chrono::milliseconds timeout,
    posefix::train::ProcessGroupPtr* group) {
  *group = c10::make_intrusive<fake_npu::FakeHccl>(store, rank, world, timeout);
}

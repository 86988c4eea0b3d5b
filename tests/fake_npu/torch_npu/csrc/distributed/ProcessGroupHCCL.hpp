// What src/train/device_groups/hccl_group.cc uses of torch_npu's header of this name (2.0 to 2.15), declared for
// the stand-in. It refuses tensors of another device, as the real one does, and talks through Gloo over their memory.
#pragma once

#include "train/process_group.h"

namespace c10d_npu {

class __attribute__((visibility("default"))) ProcessGroupHCCL : public posefix::train::ProcessGroup {
 public:
  struct Options : posefix::train::ProcessGroup::Options {
    explicit Options(bool is_high_priority_stream = false);
    static c10::intrusive_ptr<Options> create(bool is_high_priority_stream = false);
  };

  ProcessGroupHCCL(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                   c10::intrusive_ptr<Options> options = Options::create());

  const std::string getBackendName() const override;
  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override;
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override;

 private:
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
};

}  // namespace c10d_npu

// libposefix_hccl.so: connects training processes whose tensors lie on Ascend NPUs, by torch_npu's HCCL. A library of
// its own, so that nothing else needs torch_npu; process_group.h says what it exports and when it is loaded,
// cmake/DeviceLibraries.cmake where its headers come from.
//
// torch_npu registers its backend with c10d in Python only, so the class is made by name.
// Source: Ascend/pytorch, examples/libtorch_hccl.
#include <torch_npu/csrc/distributed/ProcessGroupHCCL.hpp>

#include "train/process_group.h"

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) void posefix_make_process_group(
    const posefix::train::StorePtr& store, int rank, int world, std::chrono::milliseconds timeout,
    posefix::train::ProcessGroupPtr* group) {
  const auto options = c10d_npu::ProcessGroupHCCL::Options::create();
  options->timeout = timeout;
  *group = c10::make_intrusive<c10d_npu::ProcessGroupHCCL>(store, rank, world, options);
}

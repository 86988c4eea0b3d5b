// libposefix_nccl.so: connects training processes whose tensors lie on CUDA devices, by NCCL. A library of its own, so
// that nothing else needs CUDA's headers or LibTorch's CUDA half; process_group.h says what it exports and when it is
// loaded, cmake/DeviceLibraries.cmake where its headers come from.
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "train/process_group.h"

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) void posefix_make_process_group(
    const posefix::train::StorePtr& store, int rank, int world, std::chrono::milliseconds timeout,
    posefix::train::ProcessGroupPtr* group) {
  const auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = timeout;
  *group = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, world, options);
}

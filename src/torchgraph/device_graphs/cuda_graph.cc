// libposefix_cuda_graph.so: records work as a CUDA graph. A library of its own, so that nothing else needs CUDA's
// headers or LibTorch's CUDA half; recording.h says what it exports and when it is loaded, cmake/DeviceLibraries.cmake
// where its headers come from.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "torchgraph/recording.h"

namespace {

class CudaGraph final : public posefix::torchgraph::Recording {
 public:
  CudaGraph(const at::Device& device, const std::function<void()>& work) : device_(device) {
    // CUDA does not record the default stream. The work runs first where it will be recorded, since cuBLAS and cuDNN
    // keep memory for every stream.
    const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(false, device.index());
    c10::cuda::getCurrentCUDAStream(device.index()).synchronize();
    const c10::cuda::CUDAStreamGuard guard(stream);
    work();
    stream.synchronize();
    // The recording has memory of its own, and nobody else takes from this stream's.
    c10::cuda::CUDACachingAllocator::emptyCache();
    graph_.capture_begin();
    work();
    graph_.capture_end();
  }

  void replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    graph_.replay();
  }

 private:
  at::Device device_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) void posefix_record_work(
    const at::Device& device, const std::function<void()>& work,
    std::unique_ptr<posefix::torchgraph::Recording>* recording) {
  *recording = std::make_unique<CudaGraph>(device, work);
}

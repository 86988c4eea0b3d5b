// Work that a device was given once while it was recorded, and that is launched as a whole from then on (a CUDA graph):
// many small kernels then cost the host one call.
//
// A recording is of addresses: it reads and writes the memory that the work did when it was recorded. So its inputs are
// copied into memory that stays where it is, its results are where they were, and numbers that the host gave it are
// what they were. Copies and replays queue on the device's current stream, so that the inputs of one replay wait for
// the one before, and results are read before the next one writes them. Whoever records lives in a library of its own,
// loaded when asked for, so that this program builds without the device's headers: it exports kRecordWork with the type
// RecordWork. device.h names the library of a device.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace posefix::torchgraph {

class Recording {
 public:
  virtual ~Recording() = default;
  // Queues the work behind what the device's current stream has.
  virtual void replay() = 0;
};

// Calls `work` once as it is, so that libraries choose their kernels and allocate, and waits for it; then once more
// while recording, which does nothing on the device. `work` gives the device things to do and neither waits for it nor
// copies from or to the host. Throws what LibTorch throws.
using RecordWork = void(const at::Device& device, const std::function<void()>& work,
                        std::unique_ptr<Recording>* recording);
inline constexpr const char* kRecordWork = "posefix_record_work";

struct Recorder {
  RecordWork* record = nullptr;
  std::string option;  // that asked for it, as messages name it: "--device-graphs"
};

// Loads the device's. Error (bad input) where there is none.
Recorder open_recorder(const at::Device& device, const std::string& option);

// Recorded when it first runs, replayed from then on.
class RecordedWork {
 public:
  using Work = std::function<std::vector<at::Tensor>()>;  // see RecordWork; the results are on the device

  RecordedWork(const at::Device& device, Recorder recorder, Work work);
  // Does the work once. The results are valid until the next call, and may be read by what is queued before it.
  // Error (failed) when it cannot be recorded; it may then have been done.
  const std::vector<at::Tensor>& run();

 private:
  at::Device device_;
  Recorder recorder_;
  Work work_;
  std::vector<at::Tensor> first_;     // results of the call that was no replay
  std::vector<at::Tensor> recorded_;  // where replays write
  std::unique_ptr<Recording> recording_;
};

}  // namespace posefix::torchgraph

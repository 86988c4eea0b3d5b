// The stand-in's graphs (torchgraph/recording.h): every kernel that runs while work is recorded is written down with
// the addresses that it reads and writes, and a replay runs these kernels again. No code of the host runs then.
//
// Recording changes nothing on the device: memory from before is put back as it was, and memory that was allocated
// meanwhile is filled with rubbish, which only a replay makes values of. Rules, each an error that names it: while
// recording, no value goes to the host, none comes from it, and nothing waits for the device; at a replay, memory that
// is used and was there before the recording is there still.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <functional>
#include <map>
#include <set>
#include <vector>

namespace fake_npu {

class Tape {
 public:
  // The device's allocator gave this out.
  void note_allocation(const void* memory) { allocated_.insert(memory); }
  // The same memory as a CPU tensor, as long as the tape lives; a CPU tensor as it is.
  at::Tensor alias(const at::Tensor& tensor);
  // What a replay does next.
  void add(std::function<void()> kernel) { kernels_.push_back(std::move(kernel)); }
  // Runs an operation by the CPU's kernel, on its device tensors, and adds it.
  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack);

  void finish();
  void replay() const;

 private:
  struct Outside {
    c10::weak_intrusive_ptr<c10::StorageImpl> storage;
    std::vector<char> before;
  };
  c10::IValue alias(const c10::IValue& value);

  std::set<const void*> allocated_;
  std::map<char*, at::Storage> inside_;  // allocated while recording; by address
  std::map<char*, Outside> outside_;     // there before
  std::vector<std::function<void()>> kernels_;
};

// The tape that is being recorded, by any thread: a backward pass runs on one of its own. Null: none.
Tape* recording();

// Error when something is being recorded, and not within a kernel.
void check_not_recording(const char* what);

// While it lives, the stand-in's own copies between host and device are no copies.
class WithinKernel {
 public:
  WithinKernel();
  ~WithinKernel();
  WithinKernel(const WithinKernel&) = delete;
  WithinKernel& operator=(const WithinKernel&) = delete;
};

}  // namespace fake_npu

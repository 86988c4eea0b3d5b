// What the processes of a training job do together, over c10d: sums, copies of rank 0's values, meetings.
//
// Invariants: every rank calls the same functions in the same order; a sum has the same bits on every rank and, on
// one machine and LibTorch, in every run. A process alone (world 1) returns at once from everything, untouched.
// Tensors travel over the group of their device (Gloo on the CPU, the device's own otherwise); numbers of the control
// flow over Gloo, so that they do not wait for a device.
// Errors: Error (failed) that names the rank at fault when one died, left with an error, or is stuck longer than the
// timeout (see roll_call.h).
// Non-goals: what is summed (trainer.h), when gradients are ready (gradient_buckets.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "train/launch_environment.h"

namespace posefix::train {

class Collective {
 public:
  Collective();  // alone
  // Connects with the others; all must do so within the timeout. `device_library`: of the device's process group, ""
  // for the CPU's.
  Collective(const Place& place, std::chrono::milliseconds timeout, const std::string& device_library);
  ~Collective();
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;

  int64_t rank() const { return place_.rank; }
  int64_t world() const { return place_.world; }

  void all_reduce(const at::Tensor& values);  // sum over all ranks, in place; contiguous
  void broadcast(const at::Tensor& values);   // rank 0's values to all, in place; contiguous
  // [n] of every rank -> [world, n]
  at::Tensor gather(const at::Tensor& values);

  // all_reduce() behind the caller's back, in the order of the calls; finish() waits for all that were started.
  void start_all_reduce(const at::Tensor& values);
  void finish();

  // Control flow, on the CPU.
  std::vector<double> sum(std::vector<double> values);
  bool any(bool mine);
  void barrier() { sum({}); }
  // Error (bad input), on every rank but 0, when `text` is another than rank 0's. `what`: "configuration".
  void check_same(const std::string& what, const std::string& text);

  // Before leaving with an error of this process's own, so that the others can report it.
  void leave_with(const std::string& error);

 private:
  struct Connection;
  template <typename Action>
  void meet(const Action& action);

  Place place_;
  std::unique_ptr<Connection> connection_;  // null: alone
};

}  // namespace posefix::train

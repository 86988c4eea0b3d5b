// AscendCL initialised, a device chosen, and this session's context on it.
//
// Invariants: aclInit runs once however many sessions there are and aclFinalize after the last one is closed (unless
// someone else in the process had initialised it); a device is reset after the last session on it is closed.
// Non-goals: several devices in one session.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/backends/ascend/library.h"

namespace posefix::runtime::ascend {

class Device {
 public:
  // `id` as npu-smi counts. Error (bad input) if there is no such device, Error (failed) from AscendCL.
  explicit Device(int32_t id);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Acl& acl() const { return acl_; }
  int32_t id() const { return id_; }
  // Chip as the driver names it ("Ascend310P3"); "" if it does not say.
  const std::string& soc() const { return soc_; }
  // The program runs on the device's own CPU: device memory is its memory and nothing is copied.
  bool is_device_mode() const { return is_device_mode_; }

  // Makes the context current on the calling thread. Every entry from outside calls it: AscendCL keeps the context per
  // thread, and the caller may have changed threads.
  void enter() const;
  // Leaves everything as it is on destruction: the device does not answer any more.
  void abandon() { is_abandoned_ = true; }
  bool is_abandoned() const { return is_abandoned_; }

 private:
  const Acl& acl_;
  int32_t id_;
  std::string soc_;
  aclrtContext context_ = nullptr;
  bool is_device_mode_ = false;
  bool is_abandoned_ = false;
};

// "", "npu" -> 0, "npu:3" -> 3. Error (bad input) otherwise.
int32_t device_id(const std::string& device);

}  // namespace posefix::runtime::ascend

#include "runtime/backends/ascend/device.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <mutex>

#include "runtime/backends/ascend/errors.h"

namespace posefix::runtime::ascend {

namespace {

// aclInit ... aclFinalize, and the devices in use in between.
class Process {
 public:
  static Process& instance() {
    static Process process;
    return process;
  }

  void open(const Acl& acl, int32_t device) {
    const std::lock_guard lock(mutex_);
    if (sessions_++ == 0) initialise(acl);
    try {
      check_id(acl, device);
      // Once a device: a second aclrtSetDevice would need a second reset in some versions and none in others.
      if (on_device_[device] == 0) check(acl, fmt::format("aclrtSetDevice({})", device), acl.aclrtSetDevice(device));
      ++on_device_[device];
    } catch (...) {
      leave(acl);
      throw;
    }
  }
  void close(const Acl& acl, int32_t device) {
    const std::lock_guard lock(mutex_);
    if (--on_device_[device] == 0) acl.aclrtResetDevice(device);
    leave(acl);
  }

 private:
  void initialise(const Acl& acl) {
    const aclError code = acl.aclInit(nullptr);
    // Another user in this process (training on the NPU) owns the initialisation then, and its end.
    is_owner_ = code != kAclRepeatInitialize;
    if (is_owner_ && code != kAclSuccess) {
      --sessions_;
      throw acl_error(acl, "aclInit", code);
    }
  }
  void leave(const Acl& acl) {
    if (--sessions_ == 0 && is_owner_) acl.aclFinalize();
  }
  static void check_id(const Acl& acl, int32_t id) {
    uint32_t count = 0;
    check(acl, "aclrtGetDeviceCount", acl.aclrtGetDeviceCount(&count));
    if (id >= 0 && static_cast<uint32_t>(id) < count) return;
    if (count == 0) {
      throw bad_input("--device npu:{}: this machine has 0 Ascend devices; is the driver loaded? see npu-smi info", id);
    }
    throw bad_input(
        "--device npu:{}: this machine has {}; see npu-smi info", id,
        count == 1 ? "1 Ascend device, npu:0" : fmt::format("{} Ascend devices, npu:0 to npu:{}", count, count - 1));
  }

  std::mutex mutex_;
  bool is_owner_ = true;
  int64_t sessions_ = 0;
  std::map<int32_t, int64_t> on_device_;
};

}  // namespace

Device::Device(int32_t id) : acl_(ascend::acl()), id_(id) {
  Process::instance().open(acl_, id_);
  try {
    check(acl_, "aclrtCreateContext", acl_.aclrtCreateContext(&context_, id_));
    aclrtRunMode mode = ACL_HOST;
    check(acl_, "aclrtGetRunMode", acl_.aclrtGetRunMode(&mode));
    is_device_mode_ = mode == ACL_DEVICE;
    const char* soc = acl_.aclrtGetSocName != nullptr ? acl_.aclrtGetSocName() : nullptr;
    soc_ = soc != nullptr ? soc : "";
  } catch (...) {
    if (context_ != nullptr) acl_.aclrtDestroyContext(context_);
    Process::instance().close(acl_, id_);
    throw;
  }
}

Device::~Device() {
  // An abandoned session stays counted, so that nothing resets the device or finalises AscendCL: both would block.
  if (is_abandoned_) return;
  acl_.aclrtDestroyContext(context_);
  Process::instance().close(acl_, id_);
}

void Device::enter() const { check(acl_, "aclrtSetCurrentContext", acl_.aclrtSetCurrentContext(context_)); }

int32_t device_id(const std::string& device) {
  if (device.empty() || device == "npu") return 0;
  int32_t id = -1;
  constexpr std::string_view kPrefix = "npu:";
  const char* end = device.data() + device.size();
  if (device.starts_with(kPrefix)) {
    const auto [stop, error] = std::from_chars(device.data() + kPrefix.size(), end, id);
    if (error == std::errc() && stop == end && id >= 0) return id;
  }
  throw bad_input("--device {}: an Ascend model runs on npu or npu:N, N as npu-smi info counts", device);
}

}  // namespace posefix::runtime::ascend

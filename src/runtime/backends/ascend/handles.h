// AscendCL's objects as owners. Each is made and destroyed with its device's context current (Device::enter()).
//
// Ownership as AscendCL defines it: a data set owns neither its buffers nor their memory; a data buffer does not own
// its memory. So a DataSet here owns its buffer objects and borrows the memory, which must outlive it.
// Nothing is given back to a device that no longer answers (Device::abandon()).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/backends/ascend/device.h"

namespace posefix::runtime::ascend {

// A raw handle and the function that ends it.
template <typename Raw, auto kEnd>
class Handle {
 public:
  Handle() = default;
  Handle(const Device& device, Raw raw) : device_(&device), raw_(raw) {}
  ~Handle() { end(); }
  Handle(Handle&& other) noexcept : device_(other.device_), raw_(std::exchange(other.raw_, Raw{})) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      end();
      device_ = other.device_;
      raw_ = std::exchange(other.raw_, Raw{});
    }
    return *this;
  }
  Raw get() const { return raw_; }

 private:
  void end() {
    if (raw_ != Raw{} && !device_->is_abandoned()) (device_->acl().*kEnd)(raw_);
  }
  const Device* device_ = nullptr;  // borrowed, outlives this
  Raw raw_{};
};

using Stream = Handle<aclrtStream, &Acl::aclrtDestroyStream>;
using Event = Handle<aclrtEvent, &Acl::aclrtDestroyEvent>;
using Description = Handle<aclmdlDesc*, &Acl::aclmdlDestroyDesc>;
using DeviceMemory = Handle<void*, &Acl::aclrtFree>;
using PinnedMemory = Handle<void*, &Acl::aclrtFreeHost>;

// Error (failed) names `what` and the size.
DeviceMemory allocate_device(const Device& device, size_t bytes, const std::string& what);
PinnedMemory allocate_pinned(const Device& device, size_t bytes, const std::string& what);
Stream create_stream(const Device& device);
// For one record: such an event cannot be reset.
Event create_event(const Device& device);

// What a model needs on the device beside its inputs and outputs: weights, which runs only read, and room for what lies
// between its layers. Several loads of one file may use the same, as long as the device never runs two of them at a
// time. Empty, so that each load takes its own, where AscendCL cannot tell the sizes (shapes that are left open).
class ModelMemory {
 public:
  ModelMemory(const Device& device, const std::string& path);

 private:
  friend class Model;
  size_t work_bytes_ = 0;
  size_t weight_bytes_ = 0;
  DeviceMemory work_;
  DeviceMemory weights_;
};

// A loaded model. Loading, executing and unloading happen in the context of its device; `memory` outlives it.
class Model {
 public:
  Model(const Device& device, const std::string& path, const ModelMemory& memory);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  uint32_t id() const { return id_; }

 private:
  const Device& device_;
  uint32_t id_ = 0;
};

class DataSet {
 public:
  explicit DataSet(const Device& device);
  ~DataSet();
  DataSet(const DataSet&) = delete;
  DataSet& operator=(const DataSet&) = delete;
  void add(void* memory, size_t bytes);
  aclmdlDataset* get() const { return set_; }

 private:
  const Device& device_;
  aclmdlDataset* set_ = nullptr;
  std::vector<aclDataBuffer*> buffers_;
};

}  // namespace posefix::runtime::ascend

#include "runtime/backends/ascend/handles.h"

#include <fmt/format.h>

#include "runtime/backends/ascend/errors.h"

namespace posefix::runtime::ascend {
namespace {

std::string sized(const char* call, const std::string& what, size_t bytes) {
  return fmt::format("{} ({}, {:.1f} MiB)", call, what, static_cast<double>(bytes) / (1 << 20));
}

}  // namespace

DeviceMemory allocate_device(const Device& device, size_t bytes, const std::string& what) {
  void* memory = nullptr;
  check(device.acl(), sized("aclrtMalloc", what, bytes),
        device.acl().aclrtMalloc(&memory, bytes, ACL_MEM_MALLOC_HUGE_FIRST));
  return {device, memory};
}

PinnedMemory allocate_pinned(const Device& device, size_t bytes, const std::string& what) {
  void* memory = nullptr;
  check(device.acl(), sized("aclrtMallocHost", what, bytes), device.acl().aclrtMallocHost(&memory, bytes));
  return {device, memory};
}

Stream create_stream(const Device& device) {
  aclrtStream stream = nullptr;
  check(device.acl(), "aclrtCreateStream", device.acl().aclrtCreateStream(&stream));
  return {device, stream};
}

Event create_event(const Device& device) {
  aclrtEvent event = nullptr;
  check(device.acl(), "aclrtCreateEvent", device.acl().aclrtCreateEvent(&event));
  return {device, event};
}

ModelMemory::ModelMemory(const Device& device, const std::string& path) {
  const Acl& acl = device.acl();
  if (acl.aclmdlQuerySize(path.c_str(), &work_bytes_, &weight_bytes_) != kAclSuccess) {
    acl.aclGetRecentErrMsg();  // would be read with the next error; a file that is no model fails again when loaded
    work_bytes_ = weight_bytes_ = 0;
  }
  if (work_bytes_ > 0) work_ = allocate_device(device, work_bytes_, "the model's work memory");
  if (weight_bytes_ > 0) weights_ = allocate_device(device, weight_bytes_, "the model's weights");
}

Model::Model(const Device& device, const std::string& path, const ModelMemory& memory) : device_(device) {
  check(device.acl(), fmt::format("aclmdlLoadFromFileWithMem({})", path),
        device.acl().aclmdlLoadFromFileWithMem(path.c_str(), &id_, memory.work_.get(), memory.work_bytes_,
                                               memory.weights_.get(), memory.weight_bytes_));
}

Model::~Model() {
  if (!device_.is_abandoned()) device_.acl().aclmdlUnload(id_);
}

DataSet::DataSet(const Device& device) : device_(device), set_(device.acl().aclmdlCreateDataset()) {
  if (set_ == nullptr) throw acl_error(device.acl(), "aclmdlCreateDataset", kAclMemoryAllocation);
}

DataSet::~DataSet() {
  if (device_.is_abandoned()) return;
  device_.acl().aclmdlDestroyDataset(set_);
  for (const aclDataBuffer* buffer : buffers_) device_.acl().aclDestroyDataBuffer(buffer);
}

void DataSet::add(void* memory, size_t bytes) {
  const Acl& acl = device_.acl();
  aclDataBuffer* buffer = acl.aclCreateDataBuffer(memory, bytes);
  if (buffer == nullptr) throw acl_error(acl, "aclCreateDataBuffer", kAclMemoryAllocation);
  buffers_.push_back(buffer);
  check(acl, "aclmdlAddDatasetBuffer", acl.aclmdlAddDatasetBuffer(set_, buffer));
}

}  // namespace posefix::runtime::ascend

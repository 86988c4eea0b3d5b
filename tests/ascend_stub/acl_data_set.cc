// Data sets and data buffers: what a run of a model reads and writes.
#include <algorithm>

#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

aclmdlDataset* aclmdlCreateDataset() {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclmdlCreateDataset");
  return reinterpret_cast<aclmdlDataset*>(stub.create<DataSet>(Kind::kDataSet));
}

aclError aclmdlDestroyDataset(const aclmdlDataset* dataset) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.get<DataSet>(dataset, Kind::kDataSet, "aclmdlDestroyDataset");
  stub.destroy(dataset);
  return 0;
}

aclError aclmdlAddDatasetBuffer(aclmdlDataset* dataset, aclDataBuffer* buffer) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  auto& set = stub.get<DataSet>(dataset, Kind::kDataSet, "aclmdlAddDatasetBuffer");
  set.buffers.push_back(&stub.get<DataBuffer>(buffer, Kind::kDataBuffer, "aclmdlAddDatasetBuffer"));
  return 0;
}

aclDataBuffer* aclCreateDataBuffer(void* memory, size_t bytes) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclCreateDataBuffer");
  auto* buffer = stub.create<DataBuffer>(Kind::kDataBuffer);
  *buffer = {memory, bytes};
  return reinterpret_cast<aclDataBuffer*>(buffer);
}

aclError aclDestroyDataBuffer(const aclDataBuffer* buffer) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.get<DataBuffer>(buffer, Kind::kDataBuffer, "aclDestroyDataBuffer");
  stub.destroy(buffer);
  return 0;
}

aclError aclmdlSetDynamicBatchSize(uint32_t id, aclmdlDataset* dataset, size_t index, uint64_t batch) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  const LoadedModel& model = stub.require_model(id, "aclmdlSetDynamicBatchSize");
  auto& set = stub.get<DataSet>(dataset, Kind::kDataSet, "aclmdlSetDynamicBatchSize");
  const std::vector<int64_t>& gears = model.om.gears;
  if (!model.is_gear_input(index) || index >= set.buffers.size()) {
    break_rule(kGearSet, "aclmdlSetDynamicBatchSize: the index is not that of " + std::string(kDynamicBatchInput));
  }
  if (std::find(gears.begin(), gears.end(), static_cast<int64_t>(batch)) == gears.end()) {
    break_rule(kGearKnown, std::to_string(batch) + " is not a gear of the model");
  }
  set.gear = batch;
  return 0;
}

}  // namespace posefix::runtime::ascend

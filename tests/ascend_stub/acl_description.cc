// What a loaded model says of its inputs and outputs.
#include <algorithm>
#include <cstring>

#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

namespace {

aclDataType type_of(const OmPort& port) {
  return port.dtype == "f32" ? ACL_FLOAT : port.dtype == "f16" ? ACL_FLOAT16 : ACL_UINT8;
}

const LoadedModel& model_of(const aclmdlDesc* description, const char* call) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init(call);
  const auto& object = stub.get<Description>(description, Kind::kDescription, call);
  if (object.model == nullptr) break_rule(kKnownHandle, std::string(call) + ": aclmdlGetDesc was not called");
  return *object.model;
}

const OmPort& input_at(const LoadedModel& model, size_t index, const char* call) {
  if (index >= model.om.inputs.size()) break_rule(kSizesMatch, std::string(call) + ": no such input");
  return model.om.inputs[index];
}

const OmPort& output_at(const LoadedModel& model, size_t index, const char* call) {
  if (index >= model.om.outputs.size()) break_rule(kSizesMatch, std::string(call) + ": no such output");
  return model.om.outputs[index];
}

aclError fill_dims(const std::string& name, const ascend_stub::Shape& shape, aclmdlIODims* dims) {
  std::strncpy(dims->name, name.c_str(), sizeof(dims->name) - 1);
  dims->dimCount = shape.size();
  std::copy(shape.begin(), shape.end(), dims->dims);
  return 0;
}

}  // namespace

aclmdlDesc* aclmdlCreateDesc() {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclmdlCreateDesc");
  return reinterpret_cast<aclmdlDesc*>(stub.create<Description>(Kind::kDescription));
}

aclError aclmdlDestroyDesc(aclmdlDesc* description) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.get<Description>(description, Kind::kDescription, "aclmdlDestroyDesc");
  stub.destroy(description);
  return 0;
}

aclError aclmdlGetDesc(aclmdlDesc* description, uint32_t id) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  const LoadedModel& model = stub.require_model(id, "aclmdlGetDesc");
  stub.get<Description>(description, Kind::kDescription, "aclmdlGetDesc").model = &model;
  return 0;
}

size_t aclmdlGetNumInputs(aclmdlDesc* description) { return model_of(description, "aclmdlGetNumInputs").input_count(); }
size_t aclmdlGetNumOutputs(aclmdlDesc* description) {
  return model_of(description, "aclmdlGetNumOutputs").om.outputs.size();
}

size_t aclmdlGetInputSizeByIndex(aclmdlDesc* description, size_t index) {
  constexpr const char* kCall = "aclmdlGetInputSizeByIndex";
  const LoadedModel& model = model_of(description, kCall);
  if (model.is_gear_input(index)) return kGearInputBytes;
  return model.om.bytes(input_at(model, index, kCall));
}

size_t aclmdlGetOutputSizeByIndex(aclmdlDesc* description, size_t index) {
  const LoadedModel& model = model_of(description, "aclmdlGetOutputSizeByIndex");
  return model.om.bytes(output_at(model, index, "aclmdlGetOutputSizeByIndex"));
}

aclError aclmdlGetInputDims(const aclmdlDesc* description, size_t index, aclmdlIODims* dims) {
  const OmPort& port = input_at(model_of(description, "aclmdlGetInputDims"), index, "aclmdlGetInputDims");
  return fill_dims(port.name, port.dims, dims);
}

aclError aclmdlGetOutputDims(const aclmdlDesc* description, size_t index, aclmdlIODims* dims) {
  const LoadedModel& model = model_of(description, "aclmdlGetOutputDims");
  const OmPort& port = output_at(model, index, "aclmdlGetOutputDims");
  ascend_stub::Shape shape = port.dims;
  shape[0] = model.om.batch;  // of the largest gear
  return fill_dims(port.name, shape, dims);
}

const char* aclmdlGetInputNameByIndex(const aclmdlDesc* description, size_t index) {
  const LoadedModel& model = model_of(description, "aclmdlGetInputNameByIndex");
  if (model.is_gear_input(index)) return kDynamicBatchInput;
  return input_at(model, index, "aclmdlGetInputNameByIndex").name.c_str();
}

const char* aclmdlGetOutputNameByIndex(const aclmdlDesc* description, size_t index) {
  const char* call = "aclmdlGetOutputNameByIndex";
  return output_at(model_of(description, call), index, call).name.c_str();
}

aclDataType aclmdlGetInputDataType(const aclmdlDesc* description, size_t index) {
  return type_of(input_at(model_of(description, "aclmdlGetInputDataType"), index, "aclmdlGetInputDataType"));
}

aclDataType aclmdlGetOutputDataType(const aclmdlDesc* description, size_t index) {
  const char* call = "aclmdlGetOutputDataType";
  return type_of(output_at(model_of(description, call), index, call));
}

aclError aclmdlGetInputIndexByName(const aclmdlDesc* description, const char* name, size_t* index) {
  const LoadedModel& model = model_of(description, "aclmdlGetInputIndexByName");
  for (size_t i = 0; i < model.input_count(); ++i) {
    if (std::strcmp(aclmdlGetInputNameByIndex(description, i), name) == 0) return *index = i, 0;
  }
  return fail(100000, std::string("no input ") + name);
}

aclError aclmdlGetDynamicBatch(const aclmdlDesc* description, aclmdlBatch* batch) {
  const LoadedModel& model = model_of(description, "aclmdlGetDynamicBatch");
  batch->batchCount = model.om.gears.size();
  std::copy(model.om.gears.begin(), model.om.gears.end(), batch->batch);
  return 0;
}

}  // namespace posefix::runtime::ascend

// Model and data set functions of AscendCL, strict; runs are done by interpreter.cc.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/tensor.h"
#include "interpreter.h"
#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

namespace {

constexpr size_t kGearInputBytes = 4;

size_t element_bytes(const std::string& dtype) { return dtype == "f32" ? 4 : dtype == "f16" ? 2 : 1; }

size_t person_bytes(const OmPort& port) {
  size_t bytes = element_bytes(port.dtype);
  for (size_t d = 1; d < port.dims.size(); ++d) bytes *= static_cast<size_t>(port.dims[d]);
  return bytes;
}

size_t port_bytes(const OmFile& om, const OmPort& port) { return static_cast<size_t>(om.batch) * person_bytes(port); }

aclDataType type_of(const OmPort& port) {
  return port.dtype == "f32" ? ACL_FLOAT : port.dtype == "f16" ? ACL_FLOAT16 : ACL_UINT8;
}

LoadedModel& model_here(Stub& stub, uint32_t id, const char* call) {
  const Context& context = stub.require_context(call);
  const auto found = stub.models.find(id);
  if (found == stub.models.end()) break_rule(kUseAfterFree, std::string(call) + ": no loaded model has this id");
  if (found->second->context != &context) break_rule(kModelContext, std::string(call) + ": loaded in another context");
  return *found->second;
}

const LoadedModel& model_of(const aclmdlDesc* description, const char* call) {
  Stub& stub = Stub::instance();
  stub.require_init(call);
  const auto& object = stub.get<Description>(description, Kind::kDescription, call);
  if (object.model == nullptr) break_rule(kKnownHandle, std::string(call) + ": aclmdlGetDesc was not called");
  return *object.model;
}

bool is_gear_input(const LoadedModel& model, size_t index) { return index == model.om.inputs.size(); }
size_t input_count(const LoadedModel& model) { return model.om.inputs.size() + (model.om.gears.empty() ? 0 : 1); }

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

// One input or output of a queued run, in the stub's view of the memory.
struct RunPort {
  OmPort port;
  char* memory;
  size_t bytes;  // whole buffer
};

Value read_port(const RunPort& run, int64_t batch, const std::vector<double>& mean) {
  Value value;
  value.shape = run.port.dims;
  value.shape[0] = batch;
  const size_t count = static_cast<size_t>(batch) * person_bytes(run.port) / element_bytes(run.port.dtype);
  value.floats.resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (run.port.dtype == "f32") value.floats[i] = reinterpret_cast<const float*>(run.memory)[i];
    if (run.port.dtype == "f16") value.floats[i] = f16_to_f32(reinterpret_cast<const uint16_t*>(run.memory)[i]);
    if (run.port.dtype == "u8") {
      value.floats[i] = static_cast<float>(static_cast<uint8_t>(run.memory[i]) - mean.at(i % mean.size()));
    }
    if (std::isnan(value.floats[i])) {
      break_rule(kPaddingDefined, "input " + run.port.name + " was not written for all persons of the batch");
    }
  }
  return value;
}

struct Run {
  const LoadedModel* model;
  std::vector<RunPort> inputs;
  std::vector<RunPort> outputs;
  int64_t batch;
  int64_t ms;
  bool computes;
};

std::map<std::string, Value> answers_of(const Run& run, const std::map<std::string, Value>& placeholders) {
  if (run.model->om.is_onnx) return run.model->onnx->run(placeholders);
  std::map<std::string, Value> answers;
  for (const RunPort& output : run.outputs) {
    const std::string& name = output.port.name;
    answers[name] = execute(run.model->graph, placeholders, name.substr(0, name.find(':')));
  }
  return answers;
}

void write_port(const RunPort& run, const Value& value) {
  for (size_t i = 0; i < value.floats.size(); ++i) {
    if (run.port.dtype == "f16") {
      reinterpret_cast<uint16_t*>(run.memory)[i] = f32_to_f16(value.floats[i]);
    } else {
      reinterpret_cast<float*>(run.memory)[i] = value.floats[i];
    }
  }
}

void take_the_time(const Run& run, std::chrono::steady_clock::time_point begin) {
  std::this_thread::sleep_until(begin + std::chrono::milliseconds(run.ms));
}

aclError execute_run(const Run& run) {
  const auto begin = std::chrono::steady_clock::now();
  if (!run.computes) {
    for (const RunPort& output : run.outputs) std::memset(output.memory, 0, output.bytes);
    take_the_time(run, begin);
    return 0;
  }
  std::map<std::string, Value> placeholders;
  for (const RunPort& input : run.inputs) {
    placeholders[input.port.name] = read_port(input, run.batch, run.model->om.aipp_mean);
    // Poison: what the next run needs must be written again.
    std::memset(input.memory, 0xFF, input.bytes);
  }
  for (const RunPort& output : run.outputs) std::memset(output.memory, 0xFF, output.bytes);
  try {
    const std::map<std::string, Value> answers = answers_of(run, placeholders);
    for (const RunPort& output : run.outputs) write_port(output, answers.at(output.port.name));
  } catch (const std::exception&) {
    return kAclModelExecute;
  }
  take_the_time(run, begin);
  return 0;
}

// The buffers of a data set with the sizes that the model's description gives.
std::vector<Allocation*> check_data_set(Stub& stub, const DataSet& set, const std::vector<size_t>& bytes,
                                        const char* side) {
  if (set.buffers.size() != bytes.size()) {
    break_rule(kSizesMatch, std::string(side) + ": " + std::to_string(set.buffers.size()) + " buffers, the model has " +
                                std::to_string(bytes.size()));
  }
  std::vector<Allocation*> allocations;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto& buffer = stub.get<DataBuffer>(set.buffers[i], Kind::kDataBuffer, "aclmdlExecuteAsync");
    if (buffer.bytes != bytes[i]) {
      break_rule(kSizesMatch, std::string(side) + " " + std::to_string(i) + " has " + std::to_string(buffer.bytes) +
                                  " bytes, the description says " + std::to_string(bytes[i]));
    }
    Allocation* allocation = stub.memory.find(buffer.memory);
    if (allocation == nullptr || allocation->kind != MemoryKind::kDevice) {
      break_rule(kDevicePointer, std::string(side) + " " + std::to_string(i) + " is not memory from aclrtMalloc");
    }
    if (!allocation->is_alive) break_rule(kUseAfterFree, std::string(side) + ": its device memory was freed");
    if (Memory::own(*allocation, buffer.memory) + buffer.bytes > allocation->own + allocation->bytes) {
      break_rule(kSizesMatch, std::string(side) + " " + std::to_string(i) + " is larger than its allocation");
    }
    allocations.push_back(allocation);
  }
  return allocations;
}

int64_t take_gear(const LoadedModel& model, DataSet& inputs) {
  if (model.om.gears.empty()) return model.om.batch;
  const uint64_t gear = std::exchange(inputs.gear, 0);
  if (gear == 0) break_rule(kGearSet, "a model with gears runs without aclmdlSetDynamicBatchSize");
  return static_cast<int64_t>(gear);
}

// What the run is to do if a fault is due, else nothing.
std::function<aclError()> faulty_run(Stub& stub) {
  if (stub.is_fault_due("execute")) return [] { return kAclModelExecute; };
  if (stub.is_fault_due("lost")) {
    stub.is_broken = true;
    return [] { return kAclLostHeartbeat; };
  }
  if (stub.is_fault_due("hang")) {
    stub.is_broken = true;
    return []() -> aclError {
      while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    };
  }
  return {};
}

}  // namespace

aclError aclmdlLoadFromFile(const char* path, uint32_t* model) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Context& context = stub.require_context("aclmdlLoadFromFile");
  if (stub.is_fault_due("load")) return fail(100012, "deserialize model failed");
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(100003, std::string("open file ") + path + " failed");
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto loaded = std::make_unique<LoadedModel>();
  try {
    loaded->om = decode_om(bytes);
    if (loaded->om.is_onnx) {
      loaded->onnx = open_onnx(loaded->om.graph, loaded->om.batch);
    } else {
      loaded->graph = parse_graphdef(loaded->om.graph);
    }
  } catch (const std::exception& error) {
    return fail(100013, std::string("parse model failed: ") + error.what());
  }
  if (loaded->om.soc != stub.soc) return fail(500002, "the model was compiled for " + loaded->om.soc);
  static uint32_t next_id = 1;
  loaded->id = next_id++;
  loaded->context = &context;
  *model = loaded->id;
  stub.models[loaded->id] = std::move(loaded);
  return 0;
}

aclError aclmdlUnload(uint32_t id) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  const LoadedModel& model = model_here(stub, id, "aclmdlUnload");
  if (!model.queued.empty()) break_rule(kModelBusy, "aclmdlUnload: runs of the model were not synchronised");
  stub.unloaded_models.push_back(std::move(stub.models.at(id)));
  stub.models.erase(id);
  return 0;
}

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
  const LoadedModel& model = model_here(stub, id, "aclmdlGetDesc");
  stub.get<Description>(description, Kind::kDescription, "aclmdlGetDesc").model = &model;
  return 0;
}

size_t aclmdlGetNumInputs(aclmdlDesc* description) { return input_count(model_of(description, "aclmdlGetNumInputs")); }
size_t aclmdlGetNumOutputs(aclmdlDesc* description) {
  return model_of(description, "aclmdlGetNumOutputs").om.outputs.size();
}

size_t aclmdlGetInputSizeByIndex(aclmdlDesc* description, size_t index) {
  constexpr const char* kCall = "aclmdlGetInputSizeByIndex";
  const LoadedModel& model = model_of(description, kCall);
  if (!model.om.gears.empty() && is_gear_input(model, index)) return kGearInputBytes;
  return port_bytes(model.om, input_at(model, index, kCall));
}

size_t aclmdlGetOutputSizeByIndex(aclmdlDesc* description, size_t index) {
  const LoadedModel& model = model_of(description, "aclmdlGetOutputSizeByIndex");
  return port_bytes(model.om, output_at(model, index, "aclmdlGetOutputSizeByIndex"));
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
  if (!model.om.gears.empty() && is_gear_input(model, index)) return kDynamicBatchInput;
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
  for (size_t i = 0; i < input_count(model); ++i) {
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
  const LoadedModel& model = model_here(stub, id, "aclmdlSetDynamicBatchSize");
  auto& set = stub.get<DataSet>(dataset, Kind::kDataSet, "aclmdlSetDynamicBatchSize");
  const std::vector<int64_t>& gears = model.om.gears;
  if (gears.empty() || !is_gear_input(model, index) || index >= set.buffers.size()) {
    break_rule(kGearSet, "aclmdlSetDynamicBatchSize: the index is not that of " + std::string(kDynamicBatchInput));
  }
  if (std::find(gears.begin(), gears.end(), static_cast<int64_t>(batch)) == gears.end()) {
    break_rule(kGearKnown, std::to_string(batch) + " is not a gear of the model");
  }
  set.gear = batch;
  return 0;
}

aclError aclmdlExecuteAsync(uint32_t id, const aclmdlDataset* inputs, aclmdlDataset* outputs, aclrtStream handle) {
  constexpr const char* kCall = "aclmdlExecuteAsync";
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  LoadedModel& model = model_here(stub, id, kCall);
  auto& stream = stub.get<ascend_stub::Stream>(handle, Kind::kStream, kCall);
  if (stream.context != model.context)
    break_rule(kStreamContext, "aclmdlExecuteAsync: the stream is of another context");
  if (!model.queued.empty() && !model.queued.contains(&stream)) {
    break_rule(kModelConcurrency, "the model has unsynchronised runs on another stream");
  }
  auto& input_set = stub.get<ascend_stub::DataSet>(inputs, Kind::kDataSet, kCall);
  const auto& output_set = stub.get<ascend_stub::DataSet>(outputs, Kind::kDataSet, kCall);
  std::vector<size_t> input_bytes;
  for (const OmPort& port : model.om.inputs) input_bytes.push_back(port_bytes(model.om, port));
  if (!model.om.gears.empty()) input_bytes.push_back(kGearInputBytes);
  const std::vector<Allocation*> sources = check_data_set(stub, input_set, input_bytes, "input");
  std::vector<size_t> output_bytes;
  for (const OmPort& port : model.om.outputs) output_bytes.push_back(port_bytes(model.om, port));
  const std::vector<Allocation*> targets = check_data_set(stub, output_set, output_bytes, "output");

  Run run{&model, {}, {}, take_gear(model, input_set), stub.ms_per_batch, stub.computes};
  for (size_t i = 0; i < model.om.inputs.size(); ++i) {
    run.inputs.push_back({model.om.inputs[i], Memory::own(*sources[i], input_set.buffers[i]->memory), input_bytes[i]});
  }
  for (size_t i = 0; i < model.om.outputs.size(); ++i) {
    run.outputs.push_back(
        {model.om.outputs[i], Memory::own(*targets[i], output_set.buffers[i]->memory), output_bytes[i]});
  }
  const auto hold = [&](Allocation* allocation, bool writes) {
    ++(writes ? allocation->queued_writes : allocation->queued_reads);
    stream.held.emplace_back(allocation, writes);
    Memory::protect(*allocation);
  };
  for (Allocation* allocation : sources) hold(allocation, false);
  for (Allocation* allocation : targets) hold(allocation, true);
  ++model.queued[&stream];
  stream.running.push_back(&model);
  std::function<aclError()> faulty = faulty_run(stub);
  enqueue(
      stream, faulty ? std::move(faulty) : [run = std::move(run)] { return execute_run(run); });
  return 0;
}

}  // namespace posefix::runtime::ascend

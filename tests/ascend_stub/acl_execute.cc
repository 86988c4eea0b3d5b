// Runs of a model: the checks when one is queued, and what the stream's thread then does. interpreter.cc computes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/tensor.h"
#include "interpreter.h"
#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

namespace {

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
  const size_t count = static_cast<size_t>(batch) * run.port.person_elements();
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

// One run at a time, whatever the streams. The chip has a clock of its own: a run that stood ready begins when the last
// one has ended, however late this thread wakes up.
class Chip {
 public:
  explicit Chip(int64_t ms)
      : lock_(mutex_),
        end_(std::max(free_, ready_since.value_or(std::chrono::steady_clock::now())) + std::chrono::milliseconds(ms)) {
    ready_since.reset();
    free_ = end_;
  }
  void take_the_time() const { std::this_thread::sleep_until(end_); }

 private:
  static inline std::mutex mutex_;
  static inline std::chrono::steady_clock::time_point free_;
  std::lock_guard<std::mutex> lock_;
  std::chrono::steady_clock::time_point end_;
};

aclError execute_run(const Run& run) {
  const Chip chip(run.ms);
  if (!run.computes) {
    for (const RunPort& output : run.outputs) std::memset(output.memory, 0, output.bytes);
    chip.take_the_time();
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
  chip.take_the_time();
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
    if (allocation->models > 0) break_rule(kModelMemory, std::string(side) + " is a loaded model's own memory");
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

aclError aclmdlExecuteAsync(uint32_t id, const aclmdlDataset* inputs, aclmdlDataset* outputs, aclrtStream handle) {
  constexpr const char* kCall = "aclmdlExecuteAsync";
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  LoadedModel& model = stub.require_model(id, kCall);
  auto& stream = stub.get<ascend_stub::Stream>(handle, Kind::kStream, kCall);
  if (stream.context != model.context)
    break_rule(kStreamContext, "aclmdlExecuteAsync: the stream is of another context");
  if (std::any_of(model.queued.begin(), model.queued.end(), [&](const Task& run) { return run.stream != &stream; })) {
    break_rule(kModelConcurrency, "the model has unsynchronised runs on another stream");
  }
  auto& input_set = stub.get<ascend_stub::DataSet>(inputs, Kind::kDataSet, kCall);
  const auto& output_set = stub.get<ascend_stub::DataSet>(outputs, Kind::kDataSet, kCall);
  std::vector<size_t> input_bytes;
  for (const OmPort& port : model.om.inputs) input_bytes.push_back(model.om.bytes(port));
  if (!model.om.gears.empty()) input_bytes.push_back(kGearInputBytes);
  const std::vector<Allocation*> sources = check_data_set(stub, input_set, input_bytes, "input");
  std::vector<size_t> output_bytes;
  for (const OmPort& port : model.om.outputs) output_bytes.push_back(model.om.bytes(port));
  const std::vector<Allocation*> targets = check_data_set(stub, output_set, output_bytes, "output");

  Run run{&model, {}, {}, take_gear(model, input_set), stub.ms_per_batch, stub.computes};
  for (size_t i = 0; i < model.om.inputs.size(); ++i) {
    run.inputs.push_back({model.om.inputs[i], Memory::own(*sources[i], input_set.buffers[i]->memory), input_bytes[i]});
  }
  for (size_t i = 0; i < model.om.outputs.size(); ++i) {
    run.outputs.push_back(
        {model.om.outputs[i], Memory::own(*targets[i], output_set.buffers[i]->memory), output_bytes[i]});
  }
  std::vector<std::pair<Allocation*, bool>> uses;
  for (Allocation* allocation : sources) uses.emplace_back(allocation, false);
  for (Allocation* allocation : targets) uses.emplace_back(allocation, true);
  if (model.weights != nullptr) uses.emplace_back(model.weights, false);
  if (model.work != nullptr) uses.emplace_back(model.work, true);
  std::function<aclError()> work = faulty_run(stub);
  if (!work) work = [run = std::move(run)] { return execute_run(run); };
  model.queued.push_back(stub.enqueue(stream, uses, std::move(work)));
  return 0;
}

}  // namespace posefix::runtime::ascend

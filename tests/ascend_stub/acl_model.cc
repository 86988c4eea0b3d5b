// Loading and unloading models: AscendCL's part about model files, strict.
#include <fstream>
#include <iterator>
#include <utility>

#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

namespace {

std::string read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The allocation that a model is given for its weights or to work in; null for none.
Allocation* model_memory(Stub& stub, const void* memory, size_t bytes, size_t needed, const std::string& what) {
  if (memory == nullptr) return nullptr;
  Allocation* allocation = stub.memory.find(memory);
  if (allocation == nullptr || allocation->kind != MemoryKind::kDevice) {
    break_rule(kDevicePointer, what + " memory is not from aclrtMalloc");
  }
  if (!allocation->is_alive) break_rule(kUseAfterFree, what + " memory was freed");
  if (bytes < needed || Memory::own(*allocation, memory) + bytes > allocation->own + allocation->bytes) {
    break_rule(kSizesMatch, what + " memory: " + std::to_string(bytes) + " bytes given, of which " +
                                std::to_string(allocation->bytes) + " allocated, " + std::to_string(needed) +
                                " needed");
  }
  return allocation;
}

}  // namespace

aclError aclmdlQuerySize(const char* path, size_t* work_bytes, size_t* weight_bytes) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  stub.require_init("aclmdlQuerySize");
  if (stub.is_fault_due("query_size")) return fail(145000, "the sizes of a model with open shapes are not known");
  try {
    const OmFile om = decode_om(read(path));
    *work_bytes = om.work_bytes();
    *weight_bytes = om.weight_bytes();
  } catch (const std::exception& error) {
    return fail(100013, std::string("parse model failed: ") + error.what());
  }
  return 0;
}

aclError aclmdlLoadFromFileWithMem(const char* path, uint32_t* model, void* work, size_t work_bytes, void* weights,
                                   size_t weight_bytes) {
  Stub& stub = Stub::instance();
  const std::lock_guard lock(stub.mutex);
  Context& context = stub.require_context("aclmdlLoadFromFileWithMem");
  if (stub.is_fault_due("load")) return fail(100012, "deserialize model failed");
  auto loaded = std::make_unique<LoadedModel>();
  try {
    loaded->om = decode_om(read(path));
    if (loaded->om.is_onnx) {
      loaded->onnx = open_onnx(loaded->om.graph, loaded->om.batch);
    } else {
      loaded->graph = parse_graphdef(loaded->om.graph);
    }
  } catch (const std::exception& error) {
    return fail(100013, std::string("parse model failed: ") + error.what());
  }
  const OmFile& om = loaded->om;
  if (om.soc != stub.soc) return fail(500002, "the model was compiled for " + om.soc);
  loaded->work = model_memory(stub, work, work_bytes, om.work_bytes(), "work");
  loaded->weights = model_memory(stub, weights, weight_bytes, om.weight_bytes(), "weight");
  for (const auto& [id, other] : stub.models) {
    if (weights != nullptr && loaded->weights == other->weights && om.graph != other->om.graph) {
      break_rule(kWeightsOfOneFile, "a model of another file has this weight memory");
    }
    if ((work != nullptr && loaded->work == other->weights) || (weights != nullptr && loaded->weights == other->work)) {
      break_rule(kModelMemory, "the weights of one model are the work memory of another");
    }
  }
  if (weights != nullptr && loaded->weights == loaded->work) {
    break_rule(kModelMemory, "one memory for the weights and to work in");
  }
  loaded->own_bytes = (work == nullptr ? om.work_bytes() : 0) + (weights == nullptr ? om.weight_bytes() : 0);
  if (loaded->own_bytes > stub.device_bytes - stub.used_bytes) return fail(245000, "alloc memory for model failed");
  stub.used_bytes += loaded->own_bytes;
  for (Allocation* allocation : {loaded->work, loaded->weights}) {
    if (allocation != nullptr) ++allocation->models;
  }
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
  const LoadedModel& model = stub.require_model(id, "aclmdlUnload");
  if (!model.queued.empty()) break_rule(kModelBusy, "aclmdlUnload: runs of the model were not synchronised");
  stub.used_bytes -= model.own_bytes;
  for (Allocation* allocation : {model.work, model.weights}) {
    if (allocation != nullptr) --allocation->models;
  }
  stub.unloaded_models.push_back(std::move(stub.models.at(id)));
  stub.models.erase(id);
  return 0;
}

}  // namespace posefix::runtime::ascend

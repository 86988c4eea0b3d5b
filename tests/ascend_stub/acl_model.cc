// Loading and unloading models: AscendCL's part about model files, strict.
#include <fstream>
#include <iterator>
#include <utility>

#include "stub.h"

namespace posefix::runtime::ascend {

using namespace ascend_stub;

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
  const LoadedModel& model = stub.require_model(id, "aclmdlUnload");
  if (!model.queued.empty()) break_rule(kModelBusy, "aclmdlUnload: runs of the model were not synchronised");
  stub.unloaded_models.push_back(std::move(stub.models.at(id)));
  stub.models.erase(id);
  return 0;
}

}  // namespace posefix::runtime::ascend

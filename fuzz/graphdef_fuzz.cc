// A frozen TensorFlow graph from arbitrary bytes: understood or refused, nothing else.
#include <string_view>

#include "base/error.h"
#include "exporters/imported_model.h"
#include "memory_bound.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const posefix::fuzz::MemoryBound bound(size);
  try {
    posefix::exporters::parse_model({reinterpret_cast<const char*>(data), size},
                                    posefix::exporters::ModelFormat::kGraphDef, "input");
  } catch (const posefix::Error&) {
  }
  return 0;
}

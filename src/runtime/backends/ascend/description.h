// What a loaded model says about itself, and whether that is what its sidecar says.
#pragma once

#include <string>
#include <vector>

#include "runtime/backends/ascend/handles.h"
#include "runtime/backends/ascend/om_sidecar.h"

namespace posefix::runtime::ascend {

struct ModelTensor {
  std::string name;
  aclDataType type = ACL_DT_UNDEFINED;
  Shape shape;       // -1 first for gears
  size_t bytes = 0;  // of the largest gear
};

struct ModelDescription {
  std::vector<ModelTensor> inputs;  // without the gear input
  std::vector<ModelTensor> outputs;
  std::vector<int64_t> gears;  // ascending; empty: a fixed batch
  int64_t gear_input = -1;     // index of ascend_mbatch_shape_data among the model's inputs, or -1
  size_t gear_input_bytes = 0;
};

ModelDescription describe(const Device& device, const Model& model);

// Error (bad input) with a table of what differs: names, types, shapes, sizes, outputs, gears.
// `om` stands for the file in the message.
void check_description(const ModelDescription& found, const OmSidecar& expected, const std::string& om);

// A sidecar for a model that came without one (the original Ascend port's): roles by rank (image 4, pose 3, valid 2),
// coordinates in heat-map px. The caller adds config, skeleton, digest and SOC. Error (bad input) if the inputs or
// outputs are not those of such a model.
OmSidecar sidecar_of(const ModelDescription& found, const std::string& om);

}  // namespace posefix::runtime::ascend

// What a PoseFix network is built from. The keys are fixed parts of the configuration files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"

namespace posefix::model {

struct ModelConfig {
  std::string backbone = "resnet50";          // a registered backbone (see backbone.h)
  std::string width = "1";                    // channel multiplier: "1", "1/2", ... "1/16"
  std::vector<int64_t> input_size{256, 192};  // height, width; both divisible by 32
  std::string skeleton = "coco17";            // shipped name or path of a YAML file
  double sigma_px = 0;                        // input heat maps, crop px; 0: by input height (7 at 256, 9 at 384)

  int64_t height() const { return input_size.at(0); }
  int64_t width_px() const { return input_size.at(1); }
  int64_t width_divisor() const;  // 1, 2, 4, 8 or 16
  double resolved_sigma_px() const;
};

// Declares model.backbone, model.width, model.input_size, model.skeleton, model.sigma.
void add_options(Options& options, ModelConfig& config);

// The model.* keys of a resolved configuration (a snapshot's, a plan's); others are passed over. `name` stands for the
// text in messages.
ModelConfig config_from_yaml(std::string_view yaml, const std::string& name);

}  // namespace posefix::model

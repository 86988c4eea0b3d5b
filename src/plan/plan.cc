#include "plan/plan.h"

#include <fmt/format.h>

#include "plan/plan_layout.h"

namespace posefix::plan {

std::string_view op_name(Op op) {
  constexpr std::array<std::string_view, 14> kNames{
      "",    "AssembleInput", "NormaliseImage", "PoseStem", "Conv2d", "ConvTranspose2d", "MaxPool",
      "Pad", "ChannelAffine", "Relu",           "Add",      "Concat", "Decode",          "Convert"};
  const auto index = static_cast<size_t>(op);
  return index < kNames.size() ? kNames[index] : "";
}

int32_t weight_scales(const Plan& plan, const Step& step) {
  const bool is_convolution = step.op == Op::kConv2d || step.op == Op::kConvTranspose2d;
  if (!is_convolution || plan.weight_infos.at(static_cast<size_t>(step.weights[0])).dtype != DType::kI8) return -1;
  return step.weights.back();
}

std::string choice_name(const Choice& choice) {
  switch (choice.method) {
    case Method::kOneDnn:
      return "onednn";
    case Method::kOneDnnWinograd:
      return "onednn_winograd";
    case Method::kOwnPointwise:
      return "own_1x1";
    case Method::kOwnWinograd:
      return fmt::format("own_winograd_{}x{}", choice.tile_height, choice.tile_width);
  }
  return "";
}

const Tuning* tuning_for(const Plan& plan, int64_t max_batch) {
  if (plan.tunings.empty()) return nullptr;
  for (const Tuning& tuning : plan.tunings) {
    if (tuning.batch >= max_batch) return &tuning;
  }
  return &plan.tunings.back();
}

uint64_t Plan::data_bytes() const {
  return weight_infos.empty() ? 0 : align_up(weight_infos.back().offset + weight_infos.back().bytes);
}

void Plan::release_pages() const {
  for (const Weight& weight : weights) weight.release_pages();
}

}  // namespace posefix::plan

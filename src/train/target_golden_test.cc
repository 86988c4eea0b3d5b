// Bilinear targets, decoding and both losses: golden/target.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "torchgraph/ops.h"
#include "torchgraph/testing/golden_network.h"
#include "train/loss.h"
#include "train/target.h"

namespace posefix::train {
namespace {

using namespace torchgraph::testing;
using nlohmann::json;

struct Set {
  json facts;
  int64_t height, width, joints;  // of the heat map
  std::vector<float> coord;
};

Set read_set(const json& facts) {
  Set set{facts, facts.at("input_shape")[0].get<int64_t>() / 4, facts.at("input_shape")[1].get<int64_t>() / 4, 0, {}};
  for (const json& joint : facts.at("coord")) {
    set.coord.insert(set.coord.end(), {joint[0].get<float>(), joint[1].get<float>()});
  }
  set.joints = static_cast<int64_t>(facts.at("coord").size());
  return set;
}

// [[y, x, joint, value]...] -> [K,h*w]
std::vector<double> dense(const Set& set, const char* key) {
  std::vector<double> map(static_cast<size_t>(set.joints * set.height * set.width));
  for (const json& entry : set.facts.at(key)) {
    const int64_t cell =
        (entry[2].get<int64_t>() * set.height + entry[0].get<int64_t>()) * set.width + entry[1].get<int64_t>();
    map.at(static_cast<size_t>(cell)) = entry[3];
  }
  return map;
}

void check_losses(const Set& set, DType dtype, double decode_tolerance_px) {
  const at::ScalarType type = dtype == DType::kF64 ? at::kDouble : at::kFloat;
  const std::vector<double> logit_values = dense(set, "logits_entries_yxjv");
  const at::Tensor logits = at::tensor(logit_values)
                                .to(at::kFloat)
                                .to(type)  // stored as f32
                                .view({1, set.joints, set.height, set.width});
  const at::Tensor coords = torchgraph::soft_argmax(logits);
  for (int64_t joint = 0; joint < set.joints; ++joint) {
    for (int64_t axis = 0; axis < 2; ++axis) {
      EXPECT_NEAR(4 * coords[0][joint][axis].item<double>(),
                  set.facts.at("decoded_xy")[static_cast<size_t>(joint)][static_cast<size_t>(axis)].get<double>(),
                  decode_tolerance_px);
    }
  }
  const auto valid = set.facts.at("loss_valid").get<std::vector<float>>();
  const Targets targets = make_targets(set.coord, valid, set.joints, set.height, set.width, dtype);
  const Losses losses = pose_losses(logits, coords, targets);
  const double heatmap = set.facts.at("loss_heatmap");
  const double coord = set.facts.at("loss_coord");
  EXPECT_NEAR(losses.heatmap.item<double>(), heatmap, 1e-5 * heatmap);
  EXPECT_NEAR(losses.coord.item<double>(), coord, 1e-5 * coord);
}

TEST(TargetGolden, OneHotDecodeAndLosses) {
  const auto files = golden_files("target", "target.*\\.json");
  ASSERT_FALSE(files.empty()) << golden_folder("target");
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    std::ifstream file(path);
    const json golden = json::parse(file);
    ASSERT_FALSE(golden.at("sets").empty());
    for (const json& facts : golden.at("sets")) {
      SCOPED_TRACE(facts.at("name").get<std::string>());
      const Set set = read_set(facts);
      std::vector<float> target(static_cast<size_t>(set.joints * set.height * set.width));
      bilinear_one_hot(set.coord, {set.height, set.width, 4}, std::span<float>(target));
      EXPECT_LE(max_abs_difference({target.begin(), target.end()}, dense(set, "target_nonzero_yxjv")), 4e-6);
      check_losses(set, DType::kF32, 5e-4);
      check_losses(set, DType::kF64, 1e-9);
    }
  }
}

}  // namespace
}  // namespace posefix::train

// Every .pb and .onnx of the frozen goldens gives the golden coordinates and heat maps on the reference backend, as it
// is and after being written in each format and read again.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "compiler/compile.h"
#include "exporters/graphdef_write.h"
#include "exporters/imported_model.h"
#include "exporters/onnx_write.h"
#include "runtime/session.h"
#include "tensorfile/safetensors.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using exporters::ImportedModel;

fs::path goldens() {
  const char* folder = std::getenv("POSEFIX_GOLDENS");
  return fs::path(folder != nullptr ? folder : posefix::project_folder() / "tests/golden") / "frozen";
}

std::vector<fs::path> model_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(goldens())) {
    const fs::path extension = entry.path().extension();
    if (extension == ".pb" || extension == ".onnx") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct Expected {
  NamedTensors tensors = tensorfile::read_safetensors(goldens() / "expected.safetensors").tensors;
  std::span<const uint8_t> crops() const { return tensors.at("image_u8").as<uint8_t>(); }
  int64_t batch() const { return tensors.at("pose").shape().at(0); }
  int64_t joints() const { return tensors.at("pose").shape().at(1); }
};

void expect_golden(const ImportedModel& model, const Expected& expected) {
  compiler::CompileOptions options;
  options.target = "reference";
  options.keep = {{"logits", "logits"}};
  runtime::SessionOptions session_options;
  session_options.backend = "reference";
  session_options.max_batch = expected.batch();
  const auto session =
      runtime::open_session(compiler::compile(model.graph, model.weights, {}, options), session_options);
  const auto joints = static_cast<size_t>(expected.joints());
  std::vector<float> coords(static_cast<size_t>(expected.batch()) * joints * 2);
  session->run(
      {expected.batch(), expected.crops(), expected.tensors.at("pose").f32(), expected.tensors.at("valid").f32()},
      {coords, {}});
  const std::span<const float> golden = expected.tensors.at("coord_heatmap_px").f32();
  const auto stride = static_cast<float>(session->info().heatmap_stride);
  ASSERT_EQ(golden.size(), coords.size());
  float worst = 0;
  for (size_t i = 0; i < coords.size(); ++i) worst = std::max(worst, std::fabs(coords[i] / stride - golden[i]));
  EXPECT_LE(worst, 5e-4F) << "heat-map px";
  const std::vector<float> logits = session->kept("logits");
  const std::span<const float> golden_logits = expected.tensors.at("logits_0").f32();
  ASSERT_GE(logits.size(), golden_logits.size());
  float worst_logit = 0;
  for (size_t i = 0; i < golden_logits.size(); ++i)
    worst_logit = std::max(worst_logit, std::fabs(logits[i] - golden_logits[i]));
  EXPECT_LE(worst_logit, 1e-4F);
}

TEST(FrozenGolden, EveryModelGivesTheGoldenAnswer) {
  const Expected expected;
  const std::vector<fs::path> files = model_files();
  ASSERT_FALSE(files.empty());
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename().string());
    expect_golden(exporters::read_model(file), expected);
  }
}

TEST(FrozenGolden, WhatIsWrittenGivesTheGoldenAnswer) {
  const Expected expected;
  const std::vector<fs::path> files = model_files();
  ASSERT_FALSE(files.empty());
  std::vector<int64_t> mirror(static_cast<size_t>(expected.joints()));
  std::iota(mirror.begin(), mirror.end(), 0);
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename().string());
    const ImportedModel model = exporters::read_model(file);
    for (const int64_t batch : {int64_t{0}, expected.batch()}) {
      const std::string pb = exporters::encode_graphdef(model.graph, model.weights, {.batch = batch});
      expect_golden(exporters::parse_model(pb, exporters::ModelFormat::kGraphDef, "written.pb"), expected);
    }
    for (const bool flip : {false, true}) {
      exporters::OnnxOptions options;
      options.opset = flip ? 17 : 13;
      options.flip = flip;
      options.mirror = mirror;
      const std::string onnx = exporters::encode_onnx(model.graph, model.weights, options);
      expect_golden(exporters::parse_model(onnx, exporters::ModelFormat::kOnnx, "written.onnx"), expected);
    }
  }
}

TEST(FrozenGolden, WrittenGraphsUseOnlyTheOperatorsThatAscendTakes) {
  const std::set<std::string> allowed{"Add",
                                      "Sub",
                                      "Mul",
                                      "Square",
                                      "Exp",
                                      "Sum",
                                      "Softmax",
                                      "Reshape",
                                      "Transpose",
                                      "ConcatV2",
                                      "Pad",
                                      "Conv2D",
                                      "Conv2DBackpropInput",
                                      "FusedBatchNormV3",
                                      "Relu",
                                      "MaxPool",
                                      "BiasAdd",
                                      "Tile"};
  const std::vector<fs::path> files = model_files();
  ASSERT_FALSE(files.empty());
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename().string());
    const ImportedModel model = exporters::read_model(file);
    const std::string pb = exporters::encode_graphdef(model.graph, model.weights, {});
    const exporters::OpGraph written = exporters::parse_graphdef(pb, "written.pb");
    std::set<std::string> inputs;
    for (const exporters::OpInput& input : written.inputs) inputs.insert(input.name);
    EXPECT_EQ(inputs, (std::set<std::string>{"Placeholder", "Placeholder_2", "Placeholder_4"}));
    EXPECT_EQ(written.outputs, std::vector<std::string>{"mul_15"});
    for (const exporters::OpNode& node : written.nodes) {
      EXPECT_TRUE(allowed.contains(node.op)) << node.op;
      if (node.op == "Conv2D" && node.integers("strides", {}).at(1) > 1) {
        EXPECT_EQ(node.text("padding", ""), "VALID");
      }
      if (node.op == "Conv2DBackpropInput") {
        EXPECT_EQ(node.text("padding", ""), "SAME");
      }
      if (node.op == "FusedBatchNormV3") {
        EXPECT_EQ(node.integer("is_training", 1), 0);
      }
    }
  }
}

}  // namespace
}  // namespace posefix

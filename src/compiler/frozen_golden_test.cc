// Frozen graphs and ONNX files of one model, compiled for both backends, against what TensorFlow computed
// (golden/frozen).
#include <gtest/gtest.h>

#include "compiler/testing/golden_network.h"
#include "exporters/imported_model.h"
#include "pose/golden_test_files.h"

namespace posefix::compiler {
namespace {

constexpr float kHeatmapTolerancePx = 5e-4F;
constexpr float kLogitTolerance = 1e-4F;
constexpr float kStride = 4;

void check(const exporters::ImportedModel& model, const NamedTensors& expected, const std::string& backend) {
  SCOPED_TRACE(backend);
  CompileOptions options;
  options.target = backend;
  for (const graph::Output& output : model.graph.outputs()) {
    if (output.name == "logits") options.keep.push_back({"logits", model.graph.node(output.node).name});
  }
  const GoldenPersons persons(expected, expected.at("pose").shape()[0]);
  const auto session =
      runtime::open_session(compile(model.graph, model.weights, {}, options), {.max_batch = persons.size});
  const Refined found = run(*session, persons);
  const auto coords = expected.at("coord_heatmap_px").f32();
  ASSERT_EQ(found.coords.size(), coords.size());
  for (size_t i = 0; i < coords.size(); ++i) {
    EXPECT_NEAR(found.coords[i] / kStride, coords[i], kHeatmapTolerancePx) << i;
  }
  const auto logits = expected.at("logits_0").f32();
  const std::vector<float> kept = session->kept("logits");
  ASSERT_GE(kept.size(), logits.size());
  for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(kept[i], logits[i], kLogitTolerance) << i;
}

TEST(FrozenGolden, CompiledImportsEqualTensorFlow) {
  const std::filesystem::path folder = pose::goldens() / "frozen";
  const NamedTensors expected = tensorfile::read_safetensors(folder / "expected.safetensors").tensors;
  int cases = 0;
  for (const char* suffix : {".pb", ".onnx"}) {
    for (const auto& path : pose::golden_files(folder, suffix)) {
      SCOPED_TRACE(path.filename().string());
      const exporters::ImportedModel model = exporters::read_model(path);
      for (const char* backend : {"reference", "cpu"}) check(model, expected, backend);
      ++cases;
    }
  }
  EXPECT_GT(cases, 0);
}

}  // namespace
}  // namespace posefix::compiler

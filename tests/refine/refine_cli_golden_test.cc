// golden/refine by the command line: init --from the TensorFlow checkpoint, refine, and what stands in the file that is
// written; and the same network as .pb and .onnx, ours and TensorFlow's own, without compile.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "base/file.h"
#include "base/testing/run_program.h"
#include "base/testing/temporary_folder.h"
#include "refine/testing/golden_case.h"

namespace posefix::refine {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class RefineCliGolden : public ::testing::Test {
 protected:
  void run(const std::vector<std::string>& arguments) {
    const ProgramResult result = run_program(POSEFIX_PROGRAM, arguments);
    ASSERT_EQ(result.code, 0) << result.output;
  }

  // The case's checkpoint as a snapshot.
  fs::path make_snapshot(const fs::path& golden, const Case& c) {
    const fs::path checkpoint = checkpoint_of(golden, c);
    const model::ModelConfig config = config_of(c, tensorfile::read_checkpoint(checkpoint));
    write_file_atomically(folder_ / "model.yaml",
                          fmt::format("model: {{backbone: {}, width: {}, input_size: [{}, {}], skeleton: {}}}\n",
                                      config.backbone, config.width, c.size.height, c.size.width, config.skeleton));
    const fs::path snapshot = folder_ / (c.name + ".safetensors");
    run({"init", "--config", folder_ / "model.yaml", "--from", checkpoint, "--out", snapshot});
    return snapshot;
  }

  void check_refined(const fs::path& model, const fs::path& poses, const Case& c) {
    SCOPED_TRACE(model.string());
    std::vector<std::string> arguments{"refine",        model,     "--images",   c.pictures,
                                       "--poses",       poses,     "--out",      folder_ / "out",
                                       "--annotations", c.listing, "--skeleton", c.skeleton()};
    if (!c.nms()) arguments.insert(arguments.end(), {"--nms", "off"});
    run(arguments);
    check_results(pose::read_golden(folder_ / "out"), c);
  }

  // What is written keeps the input's order; the goldens say each result's place in it.
  static void check_results(const json& found, const Case& c) {
    std::map<size_t, const json*> expected;
    for (const json& result : c.results) expected[result["input_index"].get<size_t>()] = &result;
    std::map<size_t, double> crop_width_px;
    for (const json& person : c.persons) {
      crop_width_px[person["index"]] = person["crop_box"][2].get<double>() - person["crop_box"][0].get<double>();
    }
    ASSERT_EQ(found.size(), expected.size());
    size_t n = 0;
    for (const auto& [index, result] : expected) {
      SCOPED_TRACE(fmt::format("result of input index {}", index));
      const json& written = found[n++];
      EXPECT_EQ(written["image_id"], (*result)["image_id"]);
      EXPECT_EQ(written.value("scores", json()), result->value("scores", json()));
      EXPECT_NEAR(written.value("score", -1.0), result->value("score", -1.0), 1e-9);
      // Both are rounded to 3 decimals.
      const double tolerance_px = kCropTolerance_px * crop_width_px.at(index) / c.size.width + 1e-3;
      ASSERT_EQ(written["keypoints"].size(), (*result)["keypoints"].size());
      for (size_t v = 0; v < written["keypoints"].size(); ++v) {
        EXPECT_NEAR(written["keypoints"][v].get<double>(), (*result)["keypoints"][v].get<double>(),
                    v % 3 == 2 ? 0 : tolerance_px)
            << v;
      }
    }
  }

  TemporaryFolder folder_;
};

Case case_of(const fs::path& poses) { return read_case(poses, dataset::read_pose_results(poses, {})); }

TEST_F(RefineCliGolden, EveryCaseFromItsTensorFlowCheckpoint) {
  const fs::path golden = pose::goldens() / "refine";
  for (const fs::path& poses : pose::golden_files(golden, "_poses.json")) {
    SCOPED_TRACE(poses.string());
    const Case c = case_of(poses);
    check_refined(make_snapshot(golden, c), poses, c);
  }
}

TEST_F(RefineCliGolden, ExportedModelsWithoutCompile) {
  const fs::path golden = pose::goldens() / "refine";
  for (const fs::path& poses : pose::golden_files(golden, "_poses.json")) {
    SCOPED_TRACE(poses.string());
    const Case c = case_of(poses);
    const fs::path snapshot = make_snapshot(golden, c);
    for (const char* format : {"pb", "onnx"}) {
      const fs::path model = folder_ / fmt::format("{}.{}", c.name, format);
      run({"export", snapshot, "--format", format, "--out", model});
      check_refined(model, poses, c);
    }
  }
}

// The frozen goldens hold the weights of one of the refine goldens' checkpoints.
TEST_F(RefineCliGolden, ForeignModelsWithoutCompile) {
  const fs::path poses = pose::goldens() / "refine" / "coco_poses.json";
  const Case c = case_of(poses);
  size_t found = 0;
  for (const auto& entry : fs::directory_iterator(pose::goldens() / "frozen")) {
    if (entry.path().extension() != ".pb" && entry.path().extension() != ".onnx") continue;
    check_refined(entry.path(), poses, c);
    ++found;
  }
  EXPECT_GT(found, 0U);
}

}  // namespace
}  // namespace posefix::refine

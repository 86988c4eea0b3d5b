// The whole of `posefix train` learns: the paper's recipe, scaled down, on real people of the project's own pictures.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/testing/project_folder.h"
#include "train/run.h"

namespace posefix::train {
namespace {

std::string in_project(const std::string& key, const std::string& train, const std::string& val) {
  const std::filesystem::path data = project_folder() / "examples/coco-mini";
  return key + "=[" + (data / train).string() + ", " + (data / val).string() + "]";
}

TEST(Overfit, TheScaledDownRecipeFitsRealPeopleToUnderAPixel) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("overfit_test_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  RunRequest request;
  request.config = project_folder() / "configs/overfit.yaml";
  request.out = folder;
  request.device = "cpu";
  request.quiet = true;
  request.log = [](const std::string&) {};
  request.set = {"train.threads=1", "data.threads=1"};
  for (const std::string section : {"data", "validation"}) {
    request.set.push_back(in_project(section + ".annotations", "annotations/person_keypoints_train2017.json",
                                     "annotations/person_keypoints_val2017.json"));
    request.set.push_back(in_project(section + ".images", "images/train2017", "images/val2017"));
  }
  run(request);

  nlohmann::json start;
  nlohmann::json validated;  // the last
  std::ifstream lines(folder / "metrics.jsonl");
  for (std::string text; std::getline(lines, text);) {
    const nlohmann::json line = nlohmann::json::parse(text);
    if (line.contains("start")) start = line["start"];
    if (line.contains("validation")) validated = line["validation"];
  }
  EXPECT_GE(start.at("persons"), 32);
  EXPECT_GT(validated.at("error_before_px"), 2.5);  // crop px
  EXPECT_LT(validated.at("error_after_px"), 1.0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace posefix::train

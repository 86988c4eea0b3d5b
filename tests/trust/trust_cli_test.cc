// A calibration from `calibrate` through snapshot, plan and ONNX model to `refine`.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/rng.h"
#include "base/testing/project_folder.h"
#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::Not;

const fs::path kExamples = posefix::project_folder() / "examples/coco-mini";
const fs::path kPictures = kExamples / "images/val2017";
const fs::path kAnnotations = kExamples / "annotations/person_keypoints_val2017.json";

// A network with fresh weights (it answers about the crop's middle) and poses that are the annotated ones shaken.
class TrustCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file_atomically(folder_ / "model.yaml", "model: {width: 1/16, input_size: [64, 64]}\n");
    ASSERT_EQ(run({"init", "--config", folder_ / "model.yaml", "--out", model_}), 0) << log_;
    for (const uint32_t estimator : {0U, 1U}) write_poses(estimator);
  }

  void write_poses(uint32_t estimator) {
    ordered_json poses = ordered_json::array();
    const ordered_json document = ordered_json::parse(read_file(kAnnotations));
    for (const ordered_json& annotation : document["annotations"]) {
      if (annotation["num_keypoints"] == 0 || annotation["iscrowd"] == 1) continue;
      Rng rng(1, estimator, poses.size());
      ordered_json keypoints = annotation["keypoints"];
      for (size_t j = 0; j < keypoints.size(); j += 3) {
        keypoints[j] = keypoints[j].get<double>() + 2 * rng.normal();
        keypoints[j + 1] = keypoints[j + 1].get<double>() + 2 * rng.normal();
        keypoints[j + 2] = keypoints[j + 2] == 0 ? 0.0 : 0.5 + 0.4 * rng.uniform();
      }
      poses.push_back({{"image_id", annotation["image_id"]},
                       {"category_id", 1},
                       {"keypoints", keypoints},
                       {"bbox", annotation["bbox"]},
                       {"score", 0.5 + 0.4 * rng.uniform()}});
    }
    write_file_atomically(poses_[estimator], poses.dump(1));
  }

  // Runs the program; its stdout and stderr are in out_ and log_.
  int run(const std::vector<std::string>& arguments) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::open((folder_ / "out").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), 1);
      ::dup2(::open((folder_ / "log").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), 2);
      std::vector<char*> argv{const_cast<char*>(POSEFIX_PROGRAM)};
      for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execv(POSEFIX_PROGRAM, argv.data());
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    out_ = read_file(folder_ / "out");
    log_ = read_file(folder_ / "log");
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int calibrate(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"calibrate", model_,      "--annotations", kAnnotations, "--images",
                                       kPictures,   "--poses",   poses_[0],       "--poses",    poses_[1],
                                       "--out",     calibrated_, "--threads",     "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  // What refine writes.
  ordered_json refine(const fs::path& model, const std::vector<std::string>& more = {}) {
    const fs::path file = folder_ / "refined.json";
    std::vector<std::string> arguments{"refine",        model,        "--images", kPictures, "--poses", poses_[0],
                                       "--annotations", kAnnotations, "--nms",    "off",     "--out",   file,
                                       "--threads",     "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments), 0) << log_;
    return ordered_json::parse(read_file(file));
  }

  TemporaryFolder folder_;
  fs::path model_ = folder_ / "model.safetensors";
  fs::path calibrated_ = folder_ / "calibrated.safetensors";
  std::array<fs::path, 2> poses_{folder_ / "one.json", folder_ / "two.json"};
  std::string out_;
  std::string log_;
};

TEST_F(TrustCommand, AnUntrainedNetworkIsNotFollowed) {
  ASSERT_EQ(calibrate(), 0) << log_;
  EXPECT_THAT(out_, HasSubstr("wrist"));
  EXPECT_THAT(out_, HasSubstr("cross-validated"));
  const ordered_json input = ordered_json::parse(read_file(poses_[0]));
  const ordered_json refined = refine(calibrated_);
  const ordered_json raw = refine(calibrated_, {"--trust", "raw"});
  EXPECT_EQ(raw, refine(model_));
  ASSERT_EQ(refined.size(), input.size());
  double moved = 0, moved_raw = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    for (size_t j = 0; j < 51; j += 3) {
      const auto distance = [&](const ordered_json& to) {
        return std::hypot(to[i]["keypoints"][j].get<double>() - input[i]["keypoints"][j].get<double>(),
                          to[i]["keypoints"][j + 1].get<double>() - input[i]["keypoints"][j + 1].get<double>());
      };
      if (input[i]["keypoints"][j + 2] == 0) {
        EXPECT_EQ(refined[i]["keypoints"][j], raw[i]["keypoints"][j]);
        continue;
      }
      moved += distance(refined);
      moved_raw += distance(raw);
    }
  }
  EXPECT_LT(moved, 0.1 * moved_raw);
}

TEST_F(TrustCommand, GoesWithTheModelWhateverItsForm) {
  ASSERT_EQ(calibrate({"--json"}), 0) << log_;
  const ordered_json report = ordered_json::parse(out_);
  EXPECT_EQ(report["sources"].size(), 2U);
  EXPECT_EQ(report["people"], 32);
  for (const char* row : {"before", "raw", "calibrated"}) EXPECT_TRUE(report["all"]["oks"].contains(row));
  const ordered_json expected = refine(calibrated_, {"--uncertainty", "--rescore"});
  const fs::path plan = folder_ / "m.plan", onnx = folder_ / "m.onnx", of_onnx = folder_ / "of_onnx.plan";
  ASSERT_EQ(run({"compile", calibrated_, "--out", plan}), 0) << log_;
  ASSERT_EQ(run({"export", calibrated_, "--format", "onnx", "--out", onnx}), 0) << log_;
  ASSERT_EQ(run({"compile", onnx, "--out", of_onnx}), 0) << log_;
  for (const fs::path& model : {plan, of_onnx, onnx}) {
    const ordered_json found = refine(model, {"--uncertainty", "--rescore"});
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      for (const char* field : {"keypoints", "uncertainty"}) {
        for (size_t j = 0; j < found[i][field].size(); ++j) {
          EXPECT_NEAR(found[i][field][j].get<double>(), expected[i][field][j].get<double>(), 0.05);
        }
      }
      EXPECT_NEAR(found[i]["score"].get<double>(), expected[i]["score"].get<double>(), 1e-3);
    }
  }
  for (const fs::path& file : {calibrated_, plan, onnx}) {
    ASSERT_EQ(run({"inspect", file}), 0) << log_;
    EXPECT_THAT(out_, HasSubstr("posefix.trust")) << file;
  }
}

TEST_F(TrustCommand, DrawsPosesOfThePeopleToo) {
  ASSERT_EQ(calibrate({"--json", "--drawn-errors", "paper", "--draws", "2"}), 0) << log_;
  const ordered_json report = ordered_json::parse(out_);
  // Two pose files, and two draws of the one annotation file's people.
  ASSERT_EQ(report["sources"].size(), 4U);
  EXPECT_THAT(report["sources"][3]["poses"].get<std::string>(), HasSubstr("drawn errors 2"));
  EXPECT_EQ(report["people"], 32);
  EXPECT_EQ(report["sources"][2]["people"], report["sources"][3]["people"]);
  EXPECT_NE(report["sources"][2]["AP"]["before"], report["sources"][3]["AP"]["before"]);
  EXPECT_EQ(calibrate({"--drawn-errors", "nothing.json"}), 2);
  EXPECT_THAT(log_, HasSubstr("nothing.json: does not exist"));
  EXPECT_EQ(calibrate({"--drawn-errors", "paper", "--draws", "0"}), 2);
  EXPECT_THAT(log_, HasSubstr("--draws 0"));
}

TEST_F(TrustCommand, WritesUncertaintyAndScoreWhenAsked) {
  ASSERT_EQ(calibrate(), 0) << log_;
  const ordered_json plain = refine(calibrated_);
  const ordered_json both = refine(calibrated_, {"--uncertainty", "--rescore"});
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_FALSE(plain[i].contains("uncertainty"));
    EXPECT_EQ(both[i]["keypoints"], plain[i]["keypoints"]);
    ASSERT_EQ(both[i]["uncertainty"].size(), 17U);
    for (const ordered_json& error : both[i]["uncertainty"]) EXPECT_GT(error.get<double>(), 0);
    EXPECT_GT(both[i]["score"].get<double>(), 0);
    EXPECT_LT(both[i]["score"].get<double>(), 1);
  }
}

TEST_F(TrustCommand, TheSameBytesAgain) {
  ASSERT_EQ(calibrate(), 0) << log_;
  const std::string first = read_file(calibrated_);
  ASSERT_EQ(calibrate({"--batch", "3"}), 0) << log_;
  EXPECT_EQ(read_file(calibrated_), first);
}

TEST_F(TrustCommand, RefusesWhatDoesNotGoTogether) {
  const auto refused = [&](std::vector<std::string> arguments, const std::string& part) {
    EXPECT_EQ(run(arguments), 2) << log_;
    EXPECT_THAT(log_, HasSubstr(part));
  };
  refused({"calibrate", model_, "--annotations", kAnnotations, "--images", kPictures, "--images", kPictures, "--poses",
           poses_[0], "--out", calibrated_},
          "--images occurs 2 times");
  // 16 people are too few.
  refused({"calibrate", model_, "--annotations", kAnnotations, "--images", kPictures, "--poses", poses_[0], "--out",
           calibrated_},
          "16 poses belong to annotated people");
  EXPECT_FALSE(fs::exists(calibrated_));
  const auto refine_with = [&](const std::string& flag) {
    return std::vector<std::string>{"refine",  model_,  "--images",         kPictures, "--poses",
                                    poses_[0], "--out", folder_ / "r.json", flag};
  };
  refused(refine_with("--rescore"), "no calibration");
  refused(refine_with("--uncertainty"), "no calibration");
  ASSERT_EQ(calibrate(), 0) << log_;
  std::vector<std::string> both = refine_with("--rescore");
  both[1] = calibrated_;
  both.insert(both.end(), {"--trust", "raw"});
  refused(both, "--rescore is of the calibrated poses");
}

}  // namespace
}  // namespace posefix

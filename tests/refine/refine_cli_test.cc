// The verb refine as a user meets it: what it writes, and how it refuses what it cannot use.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "base/testing/run_program.h"
#include "base/testing/temporary_folder.h"
#include "image/image.h"
#include "image/testing/exif_jpeg.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const fs::path kExamples = posefix::project_folder() / "examples/coco-mini";
const fs::path kPictures = kExamples / "images/val2017";
const fs::path kPoses = kExamples / "input_pose/mediapipe_full_val2017_results.json";
const fs::path kAnnotations = kExamples / "annotations/person_keypoints_val2017.json";

class RefineCommand : public ::testing::Test {
 protected:
  void SetUp() override { make_model("model.safetensors", "1/16", "[64, 64]"); }

  void make_model(const std::string& name, const std::string& width, const std::string& size) {
    write_file_atomically(folder_ / "model.yaml", fmt::format("model: {{width: {}, input_size: {}}}\n", width, size));
    ASSERT_EQ(run({"init", "--config", folder_ / "model.yaml", "--out", folder_ / name}), 0) << log_;
  }

  // Runs the program; its stdout and stderr are in log_. `meanwhile` gets the process id.
  int run(const std::vector<std::string>& arguments, const std::function<void(pid_t)>& meanwhile = {}) {
    ProgramResult result = run_program(POSEFIX_PROGRAM, arguments, meanwhile);
    log_ = std::move(result.output);
    return result.code;
  }
  int refine(const fs::path& pictures, const fs::path& poses, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{
        "refine", folder_ / "model.safetensors", "--images", pictures, "--poses", poses, "--out", out_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }

  ordered_json poses() const { return ordered_json::parse(read_file(kPoses)); }
  fs::path write(const ordered_json& poses) {
    write_file_atomically(folder_ / "poses.json", poses.dump(1));
    return folder_ / "poses.json";
  }
  void expect_refusal(int code, const std::vector<std::string>& parts) {
    EXPECT_EQ(code, 2) << log_;
    for (const std::string& part : parts) EXPECT_THAT(log_, HasSubstr(part));
    expect_nothing_written();
  }
  void expect_nothing_written() {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("refined"))) << "left behind";
    }
  }

  TemporaryFolder folder_;
  fs::path out_ = folder_ / "refined.json";
  std::string log_;
};

TEST_F(RefineCommand, KeepsOrderAndUnknownFields) {
  ordered_json input = poses();
  for (size_t i = 0; i < input.size(); ++i) input[i]["note"] = {{"index", i}};
  ASSERT_EQ(refine(kPictures, write(input), {"--nms", "off", "--annotations", kAnnotations}), 0) << log_;
  const ordered_json output = ordered_json::parse(read_file(out_));
  ASSERT_EQ(output.size(), input.size());
  for (size_t i = 0; i < input.size(); ++i) {
    EXPECT_EQ(output[i]["note"]["index"], i);
    EXPECT_EQ(output[i]["image_id"], input[i]["image_id"]);
    EXPECT_EQ(output[i]["category_id"], input[i]["category_id"]);
    EXPECT_NEAR(output[i]["score"].get<double>(), input[i]["score"].get<double>(), 5.1e-5);
    EXPECT_EQ(output[i]["keypoints"].size(), 51U);
    EXPECT_NE(output[i]["keypoints"], input[i]["keypoints"]);
  }
}

TEST_F(RefineCommand, TheSameBytesWithAnyThreadsAndBatch) {
  ASSERT_EQ(refine(kPictures, kPoses, {"--threads", "1", "--batch", "1"}), 0) << log_;
  const std::string first = read_file(out_);
  for (const char* batch : {"1", "5", "8"}) {
    for (const char* threads : {"1", "2"}) {
      ASSERT_EQ(refine(kPictures, kPoses, {"--threads", threads, "--batch", batch}), 0) << log_;
      EXPECT_EQ(read_file(out_), first) << threads << " threads, batch " << batch;
    }
  }
}

TEST_F(RefineCommand, RefusesPosesByFileEntryAndField) {
  ordered_json broken = poses();
  broken[2]["keypoints"].erase(50);
  expect_refusal(refine(kPictures, write(broken)), {"poses.json", "/2/keypoints", "51"});

  std::string text = poses().dump();
  text.replace(text.find("\"keypoints\":[") + 13, 1, "NaN,");
  write_file_atomically(folder_ / "poses.json", text);
  expect_refusal(refine(kPictures, folder_ / "poses.json"), {"poses.json", "/0/keypoints/0", "NaN"});

  broken = poses();
  broken[3]["image_id"] = 999999999;
  expect_refusal(refine(kPictures, write(broken)), {"poses.json", "entry 3", "'image_id'", "000999999999.jpg"});
}

TEST_F(RefineCommand, RefusesATruncatedPicture) {
  const ordered_json input = poses();
  const fs::path pictures = folder_ / "pictures";
  fs::create_directories(pictures);
  for (const auto& entry : fs::directory_iterator(kPictures)) fs::copy(entry.path(), pictures);
  const std::string name = fmt::format("{:012}.jpg", input[4]["image_id"].get<int64_t>());
  fs::resize_file(pictures / name, fs::file_size(pictures / name) * 6 / 10);
  size_t first = 0;
  while (input[first]["image_id"] != input[4]["image_id"]) ++first;
  expect_refusal(refine(pictures, kPoses), {fmt::format("entry {}", first), "'image_id'", name, "byte"});
}

TEST_F(RefineCommand, NamesWhatLiesWhereAFileIsMissing) {
  const int code = refine(kPictures, kExamples / "input_pose/mediapipe_val2017_results.json");
  expect_refusal(code, {"mediapipe_val2017_results.json", "mediapipe_full_val2017_results.json"});
  expect_refusal(refine(folder_ / "no_pictures", kPoses), {"no_pictures"});
}

TEST_F(RefineCommand, RefusesFlagsThatDoNotFit) {
  expect_refusal(refine(kPictures, kPoses, {"--nms", "2"}), {"--nms 2"});
  expect_refusal(refine(kPictures, kPoses, {"--trust", "calibrated"}), {"no calibration", "--trust raw"});
  expect_refusal(refine(kPictures, kPoses, {"--batch", "0"}), {"batch"});
  expect_refusal(refine(kPictures, kPoses, {"--skeleton", "mpii16"}), {"17 joints", "16"});
  expect_refusal(refine(kPictures, kPoses, {"--image", kPictures / "000000397133.jpg"}), {"--images", "--image"});
}

// Poses of the upright picture give with --exif apply what the picture stored upright gives.
TEST_F(RefineCommand, ExifOrientationIsAppliedOnRequest) {
  const std::string name = "000000397133";
  const std::string text = read_file(kPictures / (name + ".jpg"));
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  const std::vector<std::byte> marked = image::with_orientation({bytes, bytes + text.size()}, 6);
  const fs::path lying = folder_ / (name + ".jpg");
  write_file_atomically(lying, std::string_view(reinterpret_cast<const char*>(marked.data()), marked.size()));
  const fs::path upright = folder_ / (name + ".png");
  image::encode(image::decode(lying, image::ExifOrientation::kApply), upright);

  const auto refined = [&](const fs::path& picture, const std::string& exif) {
    EXPECT_EQ(run({"refine", folder_ / "model.safetensors", "--image", picture, "--poses", kPoses, "--out", out_,
                   "--exif", exif}),
              0)
        << log_;
    return read_file(out_);
  };
  const std::string expected = refined(upright, "ignore");
  EXPECT_EQ(refined(lying, "apply"), expected);
  EXPECT_NE(refined(lying, "ignore"), expected);
  EXPECT_EQ(refined(lying, "ignore"), refined(kPictures / (name + ".jpg"), "apply"));
}

TEST_F(RefineCommand, StatsOfTheCallersThreadAddUp) {
  ASSERT_EQ(refine(kPictures, write(poses()), {"--annotations", kAnnotations, "--json"}), 0) << log_;
  const size_t begin = log_.find("{\"people\"");
  ASSERT_NE(begin, std::string::npos) << log_;
  const ordered_json seconds = ordered_json::parse(log_.substr(begin, log_.find('\n', begin) - begin)).at("seconds");
  const auto of = [&](const char* name) { return seconds.at(name).get<double>(); };
  // Five numbers of four decimals.
  EXPECT_NEAR(of("inference") + of("waiting_for_crops") + of("merge") + of("other"), of("total"), 2.6e-4);
  EXPECT_LE(of("network_idle"), of("waiting_for_crops"));
}

TEST_F(RefineCommand, DrawsOnePictureAndAFolder) {
  ASSERT_EQ(run({"refine", folder_ / "model.safetensors", "--image", kPictures / "000000397133.jpg", "--poses", kPoses,
                 "--draw", folder_ / "one.png"}),
            0)
      << log_;
  EXPECT_GT(fs::file_size(folder_ / "one.png"), 10000U);
  ASSERT_EQ(refine(kPictures, kPoses, {"--draw", folder_ / "drawn"}), 0) << log_;
  EXPECT_TRUE(fs::exists(folder_ / "drawn/000000397133_before_after.jpg"));
}

TEST_F(RefineCommand, AnInterruptLeavesNothingHalfWritten) {
  make_model("model.safetensors", "1/4", "[256, 192]");
  ordered_json many = ordered_json::array();
  for (int i = 0; i < 500; ++i) many.insert(many.end(), poses()[0]);
  const fs::path input = write(many);
  const int code =
      run({"refine", folder_ / "model.safetensors", "--images", kPictures, "--poses", input, "--out", out_},
          [](pid_t child) {
            std::this_thread::sleep_for(std::chrono::milliseconds(700));
            ::kill(child, SIGINT);
          });
  EXPECT_EQ(code, 130) << log_;
  expect_nothing_written();
}

}  // namespace
}  // namespace posefix

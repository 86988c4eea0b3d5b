// docs/ascend.md, run word for word against the stand-ins for CANN and torch_npu: the data tree of the original
// project, training, freezing, atc, inference, and the answers beside the CPU's.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "compiler/ascend/child_process.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const fs::path kExamples = posefix::project_folder() / "examples/coco-mini";

// A folder to work in, with the stand-in on the path.
class AscendChain : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "posefix-chain-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const std::string path = fmt::format("{}:{}/bin:{}", fs::path(POSEFIX_PROGRAM).parent_path().string(),
                                         ASCEND_STUB_DIR, ::getenv("PATH"));
    ::setenv("PATH", path.c_str(), 1);
    ::setenv("POSEFIX_ACL_LIBRARY_DIR", ASCEND_STUB_DIR "/lib", 1);
    ::setenv("POSEFIX_NPU_LIBRARY", FAKE_NPU_DIR "/libfake_npu.so", 1);
    ::setenv("POSEFIX_HCCL_LIBRARY", FAKE_NPU_DIR "/libfake_hccl.so", 1);
    make_data_tree();
  }
  void TearDown() override { fs::remove_all(folder_); }

  // ROOT/COCO as the original project has it; every person to train on has an input pose.
  void make_data_tree() {
    const fs::path root = folder_ / "data/COCO";
    fs::create_directories(root / "input_pose/test_on_trainset");
    for (const char* part : {"annotations", "images"}) fs::create_directory_symlink(kExamples / part, root / part);
    const char* results = "mediapipe_full_val2017_results.json";
    fs::copy(kExamples / "input_pose" / results, root / "input_pose" / results);
    const json annotations = json::parse(read_file(root / "annotations/person_keypoints_train2017.json"));
    json poses = json::array();
    for (const json& person : annotations.at("annotations")) {
      if (person.at("num_keypoints") == 0 || person.at("iscrowd") == 1) continue;
      poses.push_back({{"image_id", person.at("image_id")},
                       {"category_id", 1},
                       {"keypoints", person.at("keypoints")},
                       {"bbox", person.at("bbox")},
                       {"score", 1.0}});
    }
    std::ofstream(root / "input_pose/test_on_trainset/result.json") << poses;
  }

  compiler::ascend::ChildResult shell(const std::string& command) {
    return compiler::ascend::run_child("/bin/sh", {"-e", "-c", command}, folder_, 600, {});
  }

  fs::path folder_;
};

// The blocks of a page that are marked `sh`.
std::vector<std::string> shell_blocks(const fs::path& page) {
  std::vector<std::string> blocks;
  std::ifstream stream(page);
  bool inside = false;
  for (std::string line; std::getline(stream, line);) {
    if (line == "```sh") {
      inside = true;
      blocks.emplace_back();
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      blocks.back() += line + "\n";
    }
  }
  return blocks;
}

// The lines of a page that show atc's command, as it is printed.
std::vector<std::string> atc_lines(const fs::path& page) {
  std::vector<std::string> lines;
  std::ifstream stream(page);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("    atc ")) lines.push_back(line.substr(line.find('a')));
  }
  return lines;
}

// Largest distance in x or y between two results, which must have the same entries.
double worst_difference_px(const fs::path& a, const fs::path& b) {
  const json first = json::parse(read_file(a));
  const json second = json::parse(read_file(b));
  EXPECT_EQ(first.size(), second.size());
  EXPECT_GT(first.size(), 0U);
  double worst = 0;
  for (size_t i = 0; i < std::min(first.size(), second.size()); ++i) {
    EXPECT_EQ(first[i].at("image_id"), second[i].at("image_id"));
    const auto x = first[i].at("keypoints").get<std::vector<double>>();
    const auto y = second[i].at("keypoints").get<std::vector<double>>();
    for (size_t j = 0; j < x.size(); ++j) worst = std::max(worst, std::abs(x[j] - y.at(j)));
  }
  return worst;
}

TEST_F(AscendChain, ThePageRunsWordForWord) {
  const std::vector<std::string> blocks = shell_blocks(posefix::project_folder() / "docs/ascend.md");
  ASSERT_GE(blocks.size(), 9U);
  std::string output;
  for (const std::string& block : blocks) {
    SCOPED_TRACE(block);
    std::string command = block;
#if !POSEFIX_TORCH
    // Built without LibTorch there is no training; fresh weights stand in for its result.
    if (command.find("--device npu") != std::string::npos) continue;
    if (const size_t train = command.find("posefix train"); train != std::string::npos) {
      command = command.substr(0, train) + "posefix init --config posefix.yaml --out run/last.safetensors\n";
      fs::create_directory(folder_ / "run");
    }
#endif
    const auto result = shell(command);
    ASSERT_EQ(result.exit_code, 0) << result.output;
    output += result.output;
  }
  const std::vector<std::string> commands = atc_lines(posefix::project_folder() / "docs/ascend.md");
  EXPECT_EQ(commands.size(), 1U);
  for (const std::string& command : commands) EXPECT_THAT(output, HasSubstr("\n" + command + "\n"));
  for (const char* result : {"result_npu.json", "result_gears.json", "result_bytes.json"}) {
    SCOPED_TRACE(result);
    EXPECT_LT(worst_difference_px(folder_ / result, folder_ / "result_cpu.json"), 0.05);
  }
#if POSEFIX_TORCH
  const std::string trained = read_file(folder_ / "run/last.safetensors");
  EXPECT_TRUE(read_file(folder_ / "run_npu/last.safetensors") == trained);
  EXPECT_TRUE(fs::exists(folder_ / "run_two/last.safetensors"));
#endif
  EXPECT_EQ(read_file(folder_ / "posefix.om.json").find("\"sha256\": \"\""), std::string::npos);
}

// A trained network, so that the coordinates depend on the picture.
TEST_F(AscendChain, GoldenNetworkGivesTheCpusCoordinates) {
  const fs::path pb = posefix::project_folder() / "tests/golden/frozen/r50_w16_256x192_restricted.pb";
  const std::string refine =
      "--images data/COCO/images/val2017 --annotations data/COCO/annotations/person_keypoints_val2017.json --poses "
      "data/COCO/input_pose/mediapipe_full_val2017_results.json --skeleton coco17";
  const auto result =
      shell(fmt::format("posefix compile {0} --target ascend:310P3 --batch 1,3,8 --out m.om\n"
                        "posefix compile {0} --target cpu --out m.plan\n"
                        "posefix compile {0} --target ascend:310P3 --batch 1,3,8 --via onnx --out onnx.om\n"
                        "posefix refine onnx.om {1} --out onnx.json\n"
                        "posefix refine m.om {1} --out om.json\n"
                        "POSEFIX_ACL_LIBRARY_DIR={2}/lib_old ASCEND_STUB_RUN_MODE=device posefix refine m.om {1} "
                        "--no-flip --out one.json\n"
                        "posefix refine m.plan {1} --out cpu.json\n",
                        pb.string(), refine, ASCEND_STUB_DIR));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_LT(worst_difference_px(folder_ / "om.json", folder_ / "cpu.json"), 0.05);
  EXPECT_LT(worst_difference_px(folder_ / "onnx.json", folder_ / "cpu.json"), 0.05);
  EXPECT_GT(worst_difference_px(folder_ / "one.json", folder_ / "cpu.json"), 0.05);  // without the flip test
}

// The .om's batch is the one that counts: another is refused, and what is printed is what ran.
TEST_F(AscendChain, AnOmHasItsOwnBatch) {
  const fs::path pb = posefix::project_folder() / "tests/golden/frozen/r50_w16_256x192_restricted.pb";
  const auto compiled =
      shell(fmt::format("posefix compile {0} --target ascend:310P3 --batch 4 --out m.om\n"
                        "posefix compile {0} --target ascend:310P3 --batch 1,2 --out gears.om\n",
                        pb.string()));
  ASSERT_EQ(compiled.exit_code, 0) << compiled.output;
  const std::string refine =
      "posefix refine {} --images data/COCO/images/val2017 --poses "
      "data/COCO/input_pose/mediapipe_full_val2017_results.json --skeleton coco17 --out refined.json --batch {}";
  for (const auto& [command, message] :
       {std::pair{fmt::format(fmt::runtime(refine), "m.om", 8), "--batch 8: m.om was compiled for batches of up to 4"},
        std::pair{fmt::format(fmt::runtime(refine), "gears.om", 4), "gears.om was compiled for batches of up to 2"},
        std::pair{std::string("posefix bench m.om --rounds 1 --batch 8"), "--batch 8: m.om was compiled"}}) {
    SCOPED_TRACE(command);
    const auto refused = shell(command);
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(message));
  }
  EXPECT_FALSE(fs::exists(folder_ / "refined.json"));
  for (const char* batch : {"", " --batch 4"}) {
    const auto bench = shell(fmt::format("posefix bench m.om --rounds 1{} --json 2>/dev/null", batch));
    ASSERT_EQ(bench.exit_code, 0) << bench.output;
    EXPECT_EQ(json::parse(bench.output).at("batch"), 4);
  }
}

// What atc would need is written either way; it is a success only where nothing else was asked for.
TEST_F(AscendChain, WithoutAtcOnlyEmittingSucceeds) {
  const fs::path pb = posefix::project_folder() / "tests/golden/frozen/r50_w16_256x192_restricted.pb";
  for (const char* via : {"pb", "onnx"}) {
    const std::string compile = fmt::format("PATH=/usr/bin:/bin {} compile {} --target ascend:310P3 --via {} --out ",
                                            POSEFIX_PROGRAM, pb.string(), via);
    const auto wanted = shell(compile + "wanted.om");
    EXPECT_EQ(wanted.exit_code, 1) << wanted.output;
    EXPECT_THAT(wanted.output, AllOf(HasSubstr("atc was not found"), HasSubstr("wanted.atc.sh")));
    const auto emitted = shell(compile + "emitted.om --emit-only");
    EXPECT_EQ(emitted.exit_code, 0) << emitted.output;
    for (const char* stem : {"wanted", "emitted"}) {
      EXPECT_FALSE(fs::exists(folder_ / fmt::format("{}.om", stem)));
      for (const std::string ending : {"om.json", "atc.sh", via}) {
        EXPECT_TRUE(fs::exists(folder_ / fmt::format("{}.{}", stem, ending))) << ending;
      }
    }
    const auto later = shell("./emitted.atc.sh && posefix inspect emitted.om");
    EXPECT_EQ(later.exit_code, 0) << later.output;
    fs::remove(folder_ / "emitted.om");
  }
}

TEST_F(AscendChain, FaultsEndTheCommandAndLeaveNoFile) {
  const fs::path pb = posefix::project_folder() / "tests/golden/frozen/r50_w16_256x192_restricted.pb";
  const auto compiled =
      shell(fmt::format("posefix compile {} --target ascend:310P3 --batch 4 --out m.om", pb.string()));
  ASSERT_EQ(compiled.exit_code, 0) << compiled.output;
  struct Fault {
    const char* what;
    const char* message;
    int timeout_ms;
  };
  // The limit bounds the wait in the case that hangs, and is out of the way in the others.
  for (const auto& [fault, message, timeout_ms] :
       {Fault{"execute:3", "507011", 300000}, Fault{"hang:2", "did not finish in time", 10000},
        Fault{"lost:2", "no longer answers", 300000}, Fault{"malloc:2", "smaller --batch", 300000}}) {
    SCOPED_TRACE(fault);
    const auto result = shell(fmt::format(
        "ASCEND_STUB_FAULT={} POSEFIX_ASCEND_TIMEOUT_MS={} posefix refine m.om --images "
        "data/COCO/images/val2017 --annotations data/COCO/annotations/person_keypoints_val2017.json --poses "
        "data/COCO/input_pose/mediapipe_full_val2017_results.json --skeleton coco17 --no-flip --out result.json",
        fault, timeout_ms));
    EXPECT_EQ(result.exit_code, 1) << result.output;
    EXPECT_THAT(result.output, HasSubstr(message));
    for (const auto& entry : fs::directory_iterator(folder_)) {
      EXPECT_EQ(entry.path().filename().string().find("result.json"), std::string::npos) << entry.path();
    }
  }
}

// Goes on as asked, with the results that there would have been.
TEST_F(AscendChain, OnErrorRetryAndCpuGoOn) {
  const fs::path pb = posefix::project_folder() / "tests/golden/frozen/r50_w16_256x192_restricted.pb";
  const std::string refine =
      "posefix refine m.om --images data/COCO/images/val2017 --annotations "
      "data/COCO/annotations/person_keypoints_val2017.json --poses "
      "data/COCO/input_pose/mediapipe_full_val2017_results.json --skeleton coco17 --no-flip";
  const auto result =
      shell(fmt::format("posefix compile {0} --target ascend:310P3 --batch 4 --out m.om\n{1} --out good.json\n"
                        "ASCEND_STUB_FAULT=execute:3 {1} --on-error retry --out retry.json\n"
                        "ASCEND_STUB_FAULT=execute:3 {1} --on-error cpu --out cpu.json\n"
                        "ASCEND_STUB_FAULT=lost:3 {1} --on-error cpu --out lost.json\n",
                        pb.string(), refine));
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("opening the model again"), HasSubstr("going on with the cpu backend")));
  for (const char* file : {"retry.json", "cpu.json", "lost.json"}) {
    SCOPED_TRACE(file);
    EXPECT_LT(worst_difference_px(folder_ / "good.json", folder_ / file), 0.05);
  }
}

}  // namespace
}  // namespace posefix

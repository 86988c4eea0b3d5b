// posefix train and refine with --device npu on the stand-in for torch_npu: the bytes of the CPU's run, alone, in two
// processes and from recordings.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "compiler/ascend/child_process.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class FakeNpu : public testing::Test {
 protected:
  static constexpr int kAnyExitCode = -2;

  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "posefix-fake-npu-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    // LeakSanitizer, where there is one, stops all threads as a process ends, and crashes on those of c10d that end
    // then.
    ::setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
    ::setenv("POSEFIX_NPU_LIBRARY", FAKE_NPU_LIBRARY, 1);
    ::setenv("POSEFIX_HCCL_LIBRARY", FAKE_HCCL_LIBRARY, 1);
    ::setenv("POSEFIX_NPU_GRAPH_LIBRARY", FAKE_NPU_LIBRARY, 1);
    const fs::path data = project_folder() / "examples/coco-mini";
    std::ofstream(folder_ / "c.yaml")
        << "model: {backbone: resnet50, width: 1/16, input_size: [64, 64], skeleton: coco17}\n"
        << "data:\n  annotations: [" << (data / "annotations/person_keypoints_train2017.json").string()
        << "]\n  images: [" << (data / "images/train2017").string()
        << "]\n  threads: 1\n  cache_mib: 64\ntrain: {batch_size: 4, threads: 1, log_every: 1}\n";
  }
  void TearDown() override {
    ::unsetenv("POSEFIX_NPU_LIBRARY");
    ::unsetenv("POSEFIX_HCCL_LIBRARY");
    ::unsetenv("POSEFIX_NPU_GRAPH_LIBRARY");
    fs::remove_all(folder_);
  }

  std::string posefix(const std::string& arguments, int exit_code = 0) {
    const auto result = compiler::ascend::run_child(
        "/bin/sh", {"-c", fmt::format("exec {} {}", POSEFIX_PROGRAM, arguments)}, folder_, 120, {});
    if (exit_code != kAnyExitCode) {
      EXPECT_EQ(result.exit_code, exit_code) << result.output;
    }
    return result.output;
  }
  // The output of a run into `out`.
  std::string train(const std::string& out, const std::string& options, int exit_code = 0) {
    return posefix(fmt::format("train --config c.yaml --out {} {}", out, options), exit_code);
  }
  // What refining by that snapshot writes. `output`: what the program says.
  std::string refine(const std::string& snapshot, const std::string& options, std::string* output = nullptr) {
    const std::string data = (project_folder() / "examples/coco-mini").string();
    const std::string said =
        posefix(fmt::format("refine {} --backend torch --threads 1 --images {}/images/val2017 --annotations "
                            "{}/annotations/person_keypoints_val2017.json --poses "
                            "{}/input_pose/mediapipe_full_val2017_results.json --out refined.json {}",
                            snapshot, data, data, data, options));
    if (output != nullptr) *output = said;
    return read_file(folder_ / "refined.json");
  }
  // The two losses of every step; the L2 term is added up in another order on a device.
  std::vector<std::string> losses(const std::string& run) {
    std::vector<std::string> found;
    std::ifstream file(folder_ / run / "metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      const size_t begin = line.find("\"loss_heatmap\"");
      const size_t end = line.find("\"loss_l2\"");
      if (begin < end && end != std::string::npos) found.push_back(line.substr(begin, end - begin));
    }
    return found;
  }
  std::string last(const std::string& run) { return read_file(folder_ / run / "last.safetensors"); }

  fs::path folder_;
};

TEST_F(FakeNpu, TrainsToTheBitsOfTheCpu) {
  train("cpu", "--steps 3 --device cpu");
  EXPECT_THAT(train("npu", "--steps 3 --device npu"), HasSubstr("device: npu:0"));
  EXPECT_TRUE(last("npu") == last("cpu"));
}

// Where the CPU's convolutions are not LibTorch's (torchgraph/winograd.h), nor its batch norms in NHWC order.
TEST_F(FakeNpu, TrainsAWiderNetworkToTheBitsOfTheCpu) {
  for (const char* channels_last : {"false", "true"}) {
    const std::string options = fmt::format(
        "--steps 2 --set model.backbone=resnet18 --set model.width=1/2 --set model.input_size=[128,96] --set "
        "train.channels_last={} --device ",
        channels_last);
    fs::remove_all(folder_ / "cpu");
    fs::remove_all(folder_ / "npu");
    train("cpu", options + "cpu");
    train("npu", options + "npu");
    EXPECT_TRUE(last("npu") == last("cpu")) << channels_last;
  }
}

// Bytes go to the device and are looked up there; two batches are in flight.
TEST_F(FakeNpu, RefinesToTheNumbersOfTheCpu) {
  train("cpu", "--steps 1 --device cpu");
  EXPECT_EQ(refine("cpu/last.safetensors", "--device npu"), refine("cpu/last.safetensors", "--device cpu"));
}

// Whole batches are replayed where they were recorded, two in flight; the last, shorter one is not.
TEST_F(FakeNpu, RefinesFromARecording) {
  train("cpu", "--steps 1 --device cpu");
  const std::string expected = refine("cpu/last.safetensors", "--device cpu");
  std::string output;
  EXPECT_EQ(refine("cpu/last.safetensors", "--device npu --batch 3 --device-graphs", &output), expected);
  EXPECT_THAT(output, HasSubstr("a recording was replayed 8 times"));  // 9 whole batches and one crop
  EXPECT_EQ(refine("cpu/last.safetensors", "--device npu --batch 3", &output), expected);
  EXPECT_THAT(output, Not(HasSubstr("replayed")));
  const std::string bench = "bench cpu/last.safetensors --rounds 3 --threads 1 --backend torch --device ";
  EXPECT_THAT(posefix(bench + "npu --device-graphs"), HasSubstr("replayed"));
  EXPECT_THAT(posefix(bench + "cpu --device-graphs", 2), HasSubstr("nothing records the work of device cpu"));
  ::setenv("POSEFIX_NPU_GRAPH_LIBRARY", "/nowhere/graphs.so", 1);
  EXPECT_THAT(posefix(bench + "npu --device-graphs", 2), HasSubstr("/nowhere/graphs.so could not be loaded"));
  EXPECT_THAT(posefix("bench cpu/last.safetensors --device-graphs", 2), HasSubstr("goes with --backend torch"));
}

// Accumulated, clipped, averaged, validated in between, and by another process from the middle on.
TEST_F(FakeNpu, TrainsFromARecordingToTheBitsOfTheCpu) {
  const fs::path data = project_folder() / "examples/coco-mini";
  for (const char* more : {"", " --set train.sync_batch_norm=true"}) {
    const std::string options = fmt::format(
        "--set train.accumulate=2 --set train.clip_norm=1 --set train.ema_decay=0.9 --set "
        "train.validate_every=0.5 --set validation.annotations=[{}] --set validation.images=[{}]{} --steps ",
        (data / "annotations/person_keypoints_val2017.json").string(), (data / "images/val2017").string(), more);
    fs::remove_all(folder_ / "cpu");
    fs::remove_all(folder_ / "npu");
    train("cpu", options + "10 --device cpu");
    const std::string recorded = " --device npu --set train.device_graphs=true";
    EXPECT_THAT(train("npu", options + "6" + recorded), HasSubstr("a recording was replayed 11 times"));
    EXPECT_THAT(train("npu", options + "10 --resume" + recorded), HasSubstr("a recording was replayed 7 times"));
    EXPECT_TRUE(last("npu") == last("cpu")) << more;
    EXPECT_EQ(losses("npu").size(), 10U);
    EXPECT_EQ(losses("npu"), losses("cpu"));
  }
}

TEST_F(FakeNpu, GoesOnWithoutRecording) {
  train("cpu", "--steps 4 --device cpu");
  train("npu", "--steps 2 --device npu --set train.device_graphs=true");
  train("npu", "--steps 4 --device npu --resume");
  EXPECT_TRUE(last("npu") == last("cpu"));
}

// The loss scale changes from step to step. The stand-in computes by the CPU's kernels, which LibTorch 1.13 lacks in
// f16: then both are refused.
TEST_F(FakeNpu, TrainsFromARecordingInF16OrIsRefused) {
  const std::string options = "--steps 10 --device npu --set train.precision=f16";
  const std::string recorded = options + " --set train.device_graphs=true";
  if (train("eager", options, kAnyExitCode).find("cannot train in it") != std::string::npos) {
    EXPECT_THAT(train("recorded", recorded, 2), HasSubstr("use f32"));
    EXPECT_FALSE(fs::exists(folder_ / "recorded/last.safetensors"));
    return;
  }
  EXPECT_THAT(train("recorded", recorded), HasSubstr("step skipped"));
  EXPECT_TRUE(last("recorded") == last("eager"));
}

TEST_F(FakeNpu, RecordsNoTrainingOfTwoProcessesOrOnTheCpu) {
  const std::string recorded = " --steps 1 --set train.device_graphs=true";
  EXPECT_THAT(train("run", "--device npu --procs 2" + recorded, 2), HasSubstr("only one process records its passes"));
  EXPECT_THAT(train("run", "--device cpu" + recorded, 2), HasSubstr("nothing records the work of device cpu"));
}

TEST_F(FakeNpu, GoesOnWithARunOfTheCpu) {
  train("cpu", "--steps 3 --device cpu --set train.ema_decay=0.9");
  train("both", "--steps 1 --device cpu --set train.ema_decay=0.9");
  EXPECT_THAT(train("both", "--steps 3 --resume --device npu:1 --set train.ema_decay=0.9"), HasSubstr("device: npu:1"));
  EXPECT_TRUE(last("both") == last("cpu"));
}

TEST_F(FakeNpu, TwoProcessesOnTwoDevices) {
  for (const char* sync : {"true", "false"}) {
    const std::string options = fmt::format("--steps 2 --procs 2 --set train.sync_batch_norm={} --device ", sync);
    train(fmt::format("cpu-{}", sync), options + "cpu");
    EXPECT_THAT(train(fmt::format("npu-{}", sync), options + "npu"), HasSubstr("device: npu:0"));
    EXPECT_TRUE(last(fmt::format("npu-{}", sync)) == last(fmt::format("cpu-{}", sync)));
  }
}

TEST_F(FakeNpu, MoreProcessesThanDevices) {
  const std::string output = train("run", "--steps 1 --procs 4 --device npu --set train.timeout_s=10", 1);
  EXPECT_THAT(output, HasSubstr("this machine has 2 of them"));
  EXPECT_THAT(train("run", "--steps 1 --procs 2 --device npu:0", 2), HasSubstr("would share it"));
}

TEST_F(FakeNpu, WithoutItsLibraryTheDeviceIsNotThere) {
  ::setenv("POSEFIX_NPU_LIBRARY", "/nowhere/libtorch_npu.so", 1);
  EXPECT_THAT(train("run", "--steps 1 --device npu", 1), HasSubstr("/nowhere/libtorch_npu.so could not be loaded"));
}

}  // namespace
}  // namespace posefix

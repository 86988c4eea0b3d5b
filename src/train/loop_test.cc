#include "train/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "model/posefix_net.h"
#include "torchgraph/device.h"
#include "train/batch_file.h"

namespace posefix::train {
namespace {

using testing::HasSubstr;

constexpr int64_t kHeight = 64;
constexpr int64_t kWidth = 32;
constexpr int64_t kJoints = 3;

// Noise pictures with joints at random places.
class NoiseSource : public DataSource {
 public:
  explicit NoiseSource(int64_t batch_size) { batch_.size = batch_size; }
  int64_t samples_per_epoch() const override { return 16; }
  void start(int64_t step) override { step_ = step; }
  const sample::Batch& next() override {
    Rng rng(5, 0, static_cast<uint64_t>(step_));
    const auto joints = static_cast<size_t>(batch_.size * kJoints);
    batch_.crops.resize(static_cast<size_t>(batch_.size * kHeight * kWidth * 3));
    for (uint8_t& value : batch_.crops) value = static_cast<uint8_t>(rng.next_u32());
    batch_.pose.assign(joints * 2, 0);
    for (float& value : batch_.pose) value = static_cast<float>(rng.uniform(0, kWidth));
    batch_.target = batch_.pose;
    batch_.valid.assign(joints, 1);
    batch_.target_valid = batch_.valid;
    if (step_ == poisoned_step) batch_.pose[0] = std::numeric_limits<float>::quiet_NaN();
    ++step_;
    return batch_;
  }

  int64_t poisoned_step = -1;

 private:
  sample::Batch batch_;
  int64_t step_ = 0;
};

class LoopTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("loop_test_" + std::string(info->name()) + "_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    config_.batch_size = 4;
    config_.epochs = 10;
    config_.snapshot_every = 2;
    config_.log_every = 1;
    torchgraph::fix_threads(1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Trainer make_trainer() const {
    model::ModelConfig model;
    model.width = "1/16";
    model.input_size = {kHeight, kWidth};
    const graph::Graph graph = model::build(model, kJoints);
    return Trainer(graph, model::initialise(graph, static_cast<uint64_t>(config_.seed)), config_, "cpu");
  }

  void run(const std::string& name, int64_t steps, bool resume, int64_t poisoned_step = -1) {
    Trainer trainer = make_trainer();
    NoiseSource source(config_.batch_size);
    source.poisoned_step = poisoned_step;
    RunFolder run_folder(folder_ / name, resume);
    const LoopOptions options{steps, "train.seed: " + std::to_string(config_.seed) + "\n", "name: x\n", true,
                              [](const std::string&) {}};
    train_in(run_folder, trainer, source, config_, options);
  }

  std::string last(const std::string& name) const { return read_file(folder_ / name / "last.safetensors"); }

  std::string error_of(const std::function<void()>& action, ErrorCode code) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    ADD_FAILURE() << "expected an Error";
    return "";
  }

  std::filesystem::path folder_;
  TrainConfig config_;
};

TEST_F(LoopTest, InterruptedRunsEndInTheBytesOfAnUninterruptedOne) {
  for (const char* variant : {"adam", "adamw", "ema", "frozen", "accumulate", "clip", "cosine", "bf16"}) {
    SCOPED_TRACE(variant);
    config_ = TrainConfig{};
    SetUp();
    const std::string name = variant;
    if (name == "adamw") config_.optimizer = "adamw";
    if (name == "ema") config_.ema_decay = 0.9;
    if (name == "frozen") config_.frozen = {"resnet_v1_50/"};
    if (name == "accumulate") config_.accumulate = 2;
    if (name == "clip") config_.clip_norm = 0.5;
    if (name == "cosine") config_.schedule = "cosine", config_.warmup_epochs = 0.5;
    if (name == "bf16") config_.precision = "bf16";
    run("whole", 6, false);
    run("parts", 1, false);
    run("parts", 4, true);
    run("parts", 6, true);
    EXPECT_EQ(last("whole") == last("parts"), true);
    EXPECT_EQ(tensorfile::read_snapshot(folder_ / "parts/last.safetensors").metadata.at("posefix.step"), "6");
  }
}

TEST_F(LoopTest, AKilledRunGoesOnFromItsSnapshot) {
  run("whole", 5, false);
  run("killed", 3, false);
  // As a kill leaves it: metrics beyond the snapshot, a torn line, an unfinished file.
  std::ofstream(folder_ / "killed/metrics.jsonl", std::ios::app) << "{\"step\": 4, \"loss\": 1}\n{\"step\": 5, \"lo";
  std::ofstream(folder_ / "killed/.last.safetensors.1-0.tmp") << "part";
  run("killed", 5, true);
  EXPECT_EQ(last("whole") == last("killed"), true);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "killed/.last.safetensors.1-0.tmp"));
  std::istringstream lines(read_file(folder_ / "killed/metrics.jsonl"));
  int expected = 1;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_THAT(line, HasSubstr("\"step\":" + std::to_string(expected++) + ","));
  }
  EXPECT_EQ(expected, 6);
}

TEST_F(LoopTest, RefusesToOverwriteARun) {
  run("run", 1, false);
  EXPECT_THAT(error_of([&] { run("run", 1, false); }, ErrorCode::kBadInput), HasSubstr("--resume"));
}

TEST_F(LoopTest, RefusesToResumeWithAnotherConfiguration) {
  run("run", 1, false);
  config_.seed = 7;
  EXPECT_THAT(error_of([&] { run("run", 2, true); }, ErrorCode::kBadInput),
              HasSubstr("train.seed: 1 in the run, 7 now"));
}

TEST_F(LoopTest, OneProcessAtATime) {
  const RunFolder held(folder_ / "run", false);
  EXPECT_THAT(error_of([&] { RunFolder(folder_ / "run", true); }, ErrorCode::kFailed), HasSubstr("another process"));
}

TEST_F(LoopTest, ALossThatIsNotFiniteStopsWithTheBatchWritten) {
  const std::string message = error_of([&] { run("run", 6, false, 3); }, ErrorCode::kFailed);
  EXPECT_THAT(message, HasSubstr("step 4"));
  const tensorfile::Snapshot state = tensorfile::read_snapshot(folder_ / "run/non_finite.safetensors");
  const sample::Batch batch = load_batch(state, "state");
  EXPECT_EQ(batch.size, 4);
  EXPECT_TRUE(std::isnan(batch.pose[0]));
  Trainer trainer = make_trainer();
  trainer.restore(state, "state");
  EXPECT_EQ(trainer.steps(), 3);
  EXPECT_FALSE(trainer.compute_gradients(batch).finite());
}

}  // namespace
}  // namespace posefix::train

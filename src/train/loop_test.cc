#include "train/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
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
    LoopOptions options;
    options.stop_after = steps;
    options.config_yaml = "train.seed: " + std::to_string(config_.seed) + "\n";
    options.resolved_yaml = options.config_yaml + "train.threads: 1\n";
    options.skeleton_yaml = "name: x\n";
    options.quiet = true;
    options.validate = validate_;
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

  // Lines of RUN/metrics.jsonl that have the key, in order.
  std::vector<nlohmann::json> metrics(const std::string& name, const std::string& key) const {
    std::vector<nlohmann::json> found;
    std::istringstream lines(read_file(folder_ / name / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      nlohmann::json json = nlohmann::json::parse(line);
      if (json.contains(key)) found.push_back(std::move(json));
    }
    return found;
  }

  std::vector<std::string> files(const std::string& name, const std::string& start) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / name)) {
      const std::string file = entry.path().filename().string();
      if (file.starts_with(start)) found.push_back(file);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  std::filesystem::path folder_;
  TrainConfig config_;
  Validate validate_;
};

// Losses by step, as if weights became worse after step 4. An epoch has four steps.
ValidationFigures best_at_four(Trainer& trainer) {
  ValidationFigures figures;
  figures.loss = std::abs(static_cast<double>(trainer.steps()) - 4);
  sample::Batch batch = NoiseSource(4).next();
  std::vector<float> refined(batch.pose.size());
  const Trainer::AveragedWeights averaged(trainer);
  figures.error_after_px = trainer.evaluate(batch, refined).coord;
  return figures;
}

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
  int expected = 1;
  for (const nlohmann::json& line : metrics("killed", "loss")) EXPECT_EQ(line["step"], expected++);
  EXPECT_EQ(expected, 6);
  EXPECT_EQ(metrics("killed", "start").size(), 2U);
  EXPECT_EQ(files("killed", "events.out.tfevents.").size(), 2U);
}

TEST_F(LoopTest, ValidatesAlikeWhetherInterruptedOrNotAndChangesNothing) {
  config_.ema_decay = 0.9;
  run("plain", 7, false);
  config_.validate_every = 0.5;
  validate_ = best_at_four;
  run("whole", 7, false);
  run("parts", 3, false);
  run("parts", 4, true);
  run("parts", 7, true);
  EXPECT_EQ(last("whole") == last("plain"), true);
  EXPECT_EQ(last("parts") == last("plain"), true);
  std::vector<int64_t> steps;
  for (const nlohmann::json& line : metrics("whole", "validation")) steps.push_back(line["step"]);
  EXPECT_EQ(steps, (std::vector<int64_t>{2, 4, 6}));
  const auto whole = metrics("whole", "validation");
  const auto parts = metrics("parts", "validation");
  ASSERT_EQ(parts.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(parts[i]["validation"]["error_after_px"], whole[i]["validation"]["error_after_px"]);
  }
  for (const char* name : {"whole", "parts"}) {
    EXPECT_EQ(tensorfile::read_snapshot(folder_ / name / "best.safetensors").metadata.at("posefix.step"), "4");
  }
}

TEST_F(LoopTest, AValidationThatAKillCutOffIsMadeUpFor) {
  config_.validate_every = 0.5;
  run("run", 2, false);  // validates nothing, as a run that was killed in its validation
  validate_ = best_at_four;
  run("run", 3, true);
  ASSERT_EQ(metrics("run", "validation").size(), 1U);
  EXPECT_EQ(metrics("run", "validation")[0]["step"], 2);
}

TEST_F(LoopTest, StopsEarlyAndStaysStopped) {
  config_.validate_every = 0.25;
  config_.early_stop = 2;
  validate_ = best_at_four;
  run("run", 10, false);
  const auto step = [&] {
    return tensorfile::read_snapshot(folder_ / "run/last.safetensors").metadata.at("posefix.step");
  };
  EXPECT_EQ(step(), "6");
  run("run", 10, true);
  EXPECT_EQ(step(), "6");
}

TEST_F(LoopTest, KeepsTheNewestSnapshotsByStep) {
  config_.snapshot_every = 1;
  config_.keep_last = 2;
  run("run", 5, false);
  EXPECT_EQ(files("run", "step_"),
            (std::vector<std::string>{"step_00000004.safetensors", "step_00000005.safetensors"}));
  EXPECT_EQ(read_file(folder_ / "run/step_00000005.safetensors") == last("run"), true);
  // A flipped bit is found, and the message says how to go back.
  std::string damaged = last("run");
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 4);
  write_file_atomically(folder_ / "run/last.safetensors", damaged);
  EXPECT_THAT(error_of([&] { run("run", 6, true); }, ErrorCode::kBadInput), HasSubstr("step_00000005.safetensors"));
}

TEST_F(LoopTest, AFullDiskStopsTheRunAndKeepsTheLastGoodSnapshot) {
  run("whole", 5, false);
  run("full", 2, false);
  const std::string good = last("full");
  // A limit on the size of files stands for a disk without room.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = good.size() / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of([&] { run("full", 5, true); }, ErrorCode::kFailed);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("holds step 2"));
  EXPECT_EQ(last("full") == good, true);
  run("full", 5, true);
  EXPECT_EQ(last("full") == last("whole"), true);
}

TEST_F(LoopTest, RefusesToOverwriteARun) {
  run("run", 1, false);
  EXPECT_THAT(error_of([&] { run("run", 1, false); }, ErrorCode::kBadInput), HasSubstr("--resume"));
}

TEST_F(LoopTest, RefusesToResumeWithAnotherConfiguration) {
  run("run", 1, false);
  const std::string config = read_file(folder_ / "run" / "config.yaml");
  EXPECT_THAT(config, HasSubstr("train.threads: 1"));
  config_.seed = 7;
  EXPECT_THAT(error_of([&] { run("run", 2, true); }, ErrorCode::kBadInput),
              HasSubstr("train.seed: 1 in the run, 7 now"));
  EXPECT_EQ(read_file(folder_ / "run" / "config.yaml"), config) << "the run's own stays";
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

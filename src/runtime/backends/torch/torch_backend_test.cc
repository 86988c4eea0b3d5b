// The torch backend as users reach it: loaded from its shared object, on a snapshot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "base/rng.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "runtime/session.h"
#include "tensorfile/snapshot.h"

namespace posefix::runtime {
namespace {

constexpr int64_t kBatch = 3;

class TorchBackend : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("torch_backend_test_" + std::to_string(::getpid()) + ".safetensors");
    model::ModelConfig config;
    config.width = "1/16";
    config.input_size = {64, 32};
    const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
    tensorfile::Snapshot snapshot;
    snapshot.variables = model::initialise(model::build(config, skeleton.size()), 1);
    snapshot.metadata["posefix.config"] =
        "model.backbone: resnet50\nmodel.width: 1/16\nmodel.input_size: [64, 32]\ntrain.batch_size: 4\n";
    snapshot.metadata["posefix.skeleton"] = skeleton.yaml;
    tensorfile::write_snapshot(path_, snapshot);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::filesystem::path path_;
};

TEST_F(TorchBackend, RowsOfABatchDoNotDependOnEachOther) {
  const auto session = open_session(path_, {.backend = "torch", .device = "cpu", .max_batch = kBatch, .threads = 1});
  const ModelInfo& info = session->info();
  EXPECT_EQ(info.height, 64);
  EXPECT_EQ(info.joints, 17);
  Rng rng(1, 0, 0);
  std::vector<uint8_t> crops(static_cast<size_t>(kBatch * info.height * info.width * 3));
  for (uint8_t& value : crops) value = static_cast<uint8_t>(rng.next_u32());
  std::vector<float> pose(kBatch * 17 * 2);
  for (float& value : pose) value = static_cast<float>(rng.uniform(0, 32));
  const std::vector<float> valid(kBatch * 17, 1);
  std::vector<float> coords(pose.size());
  std::vector<float> spread(valid.size());
  session->run({kBatch, crops, pose, valid}, {coords, spread});

  for (size_t row = 0; row < kBatch; ++row) {
    std::vector<float> alone(17 * 2);
    const auto part = [&](auto& values) {
      const size_t size = values.size() / kBatch;
      return std::span(values).subspan(row * size, size);
    };
    session->run({1, part(crops), part(pose), part(valid)}, {alone, {}});
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(alone[i], part(coords)[i], 5e-3);
  }
  for (const float value : spread) EXPECT_GT(value, 0);
}

TEST_F(TorchBackend, ComputesInBf16) {
  const auto exact = open_session(path_, {.backend = "torch", .device = "cpu", .max_batch = 1, .threads = 1});
  const auto low =
      open_session(path_, {.backend = "torch", .device = "cpu", .max_batch = 1, .threads = 1, .precision = "bf16"});
  EXPECT_EQ(exact->info().precision, "f32");
  EXPECT_EQ(low->info().precision, "bf16");
  const std::vector<uint8_t> crop(64 * 32 * 3, 200);
  const std::vector<float> pose(17 * 2, 12);
  const std::vector<float> valid(17, 1);
  std::vector<float> expected(pose.size());
  std::vector<float> actual(pose.size());
  exact->run({1, crop, pose, valid}, {expected, {}});
  low->run({1, crop, pose, valid}, {actual, {}});
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1) << i;
  EXPECT_NE(actual, expected) << "nothing was computed in bf16";
}

TEST_F(TorchBackend, SaysWhatItDoesNotRun) {
  try {
    open_session(path_, {.backend = "torch", .device = "cpu", .precision = "int4"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("f32, bf16 or f16"));
  }
  try {
    open_session(path_.string() + ".plan", {.backend = "torch"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("snapshots"));
  }
  try {
    open_session(path_, {.backend = "torch", .device = "toaster"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_THAT(error.what(), testing::HasSubstr("expected auto, cpu, cuda or npu"));
  }
}

}  // namespace
}  // namespace posefix::runtime

// posefix train by several processes on this machine: started by itself (--procs) and as launchers do, killed,
// stopped, interrupted, resumed. Each run is a shell script, so that it can be repeated by hand.
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
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

class DistributedTraining : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "posefix-distributed-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const fs::path data = project_folder() / "examples/coco-mini";
    std::ofstream(folder_ / "c.yaml")
        << "model: {backbone: resnet50, width: 1/16, input_size: [64, 64], skeleton: coco17}\n"
        << "data:\n  annotations: [" << (data / "annotations/person_keypoints_train2017.json").string()
        << "]\n  images: [" << (data / "images/train2017").string()
        << "]\n  threads: 1\n  cache_mib: 64\ntrain: {batch_size: 4, epochs: 100, threads: 1, snapshot_every: 3, "
           "log_every: 1, timeout_s: 20}\n";
  }
  void TearDown() override { fs::remove_all(folder_); }

  // `script` after the definition of what the scripts share.
  compiler::ascend::ChildResult shell(const std::string& script) {
    const std::string shared = fmt::format(
        "train() {{ exec {} train --config c.yaml \"$@\"; }}\n"
        // The processes of `posefix train --procs`, in the order of their ranks.
        "child() {{ cut -d' ' -f$(($2 + 1)) /proc/$1/task/$1/children; }}\n"
        // Until run $1 has logged step $2.
        "await() {{ until [ -f $1/metrics.jsonl ] && [ $(wc -l < $1/metrics.jsonl) -ge $2 ]; do sleep 0.05; done; }}\n",
        POSEFIX_PROGRAM);
    return compiler::ascend::run_child("/bin/sh", {"-c", shared + script}, folder_, 120, {});
  }
  std::string last(const std::string& run) { return read_file(folder_ / run / "last.safetensors"); }

  fs::path folder_;
};

TEST_F(DistributedTraining, AKilledRankIsNamedAndTheRunResumesExactly) {
  const auto whole = shell("(train --out whole --procs 2 --steps 8)");
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_THAT(whole.output, HasSubstr("processes: 2"));
  const auto killed = shell(
      "(train --out killed --procs 2 --steps 8) & run=$!\n"
      "await killed 4; kill -9 $(child $run 1); wait $run");
  EXPECT_EQ(killed.exit_code, 1) << killed.output;
  EXPECT_THAT(killed.output, HasSubstr("rank 1 was ended by signal 9"));
  EXPECT_THAT(killed.output, HasSubstr("posefix: rank 1: no sign of life"));  // rank 0's own words
  const auto resumed = shell("(train --out killed --procs 2 --steps 8 --resume)");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_TRUE(last("killed") == last("whole"));
  const auto fewer = shell("(train --out killed --procs 1 --steps 9 --resume)");
  EXPECT_EQ(fewer.exit_code, 2);
  EXPECT_THAT(fewer.output, HasSubstr("begun by 2 processes, now there are 1"));
}

TEST_F(DistributedTraining, RankZeroKilledIsNamedToo) {
  const auto killed = shell(
      "(train --out run --procs 2 --steps 1000) & run=$!\n"
      "await run 2; kill -9 $(child $run 0); wait $run");
  EXPECT_EQ(killed.exit_code, 1) << killed.output;
  EXPECT_THAT(killed.output, HasSubstr("rank 0 was ended by signal 9"));
  EXPECT_THAT(killed.output, HasSubstr("[rank 1] posefix: rank 0: keeps the job's store"));
}

TEST_F(DistributedTraining, AStoppedRankIsNamedAndTheRunEnds) {
  const auto stopped = shell(
      "(train --out run --procs 3 --steps 1000 --set train.timeout_s=3 --set train.batch_size=6) & run=$!\n"
      "await run 2; kill -STOP $(child $run 1); wait $run");
  EXPECT_EQ(stopped.exit_code, 1) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("posefix: rank 1: no sign of life for"));
  EXPECT_THAT(stopped.output, HasSubstr("rank 1 did not end within"));
}

TEST_F(DistributedTraining, AnInterruptStopsAllAtOneStep) {
  const auto interrupted = shell(
      "(train --out run --procs 2 --steps 1000 --set train.snapshot_every=10000) & run=$!\n"
      "await run 2; kill -TERM $run; wait $run");
  EXPECT_EQ(interrupted.exit_code, 130) << interrupted.output;
  const auto resumed = shell(
      "(train --out run --procs 2 --steps 1000 --resume) & run=$!\nawait run 9; kill -INT $run; "
      "wait $run");
  EXPECT_EQ(resumed.exit_code, 130) << resumed.output;
}

TEST_F(DistributedTraining, AsMpirunStartsThem) {
  const auto result = shell(
      "rank() { export OMPI_COMM_WORLD_RANK=$1 OMPI_COMM_WORLD_LOCAL_RANK=$1; shift; train \"$@\"; }\n"
      "export OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=2 MASTER_PORT=$((20000 + $$ % 20000))\n"
      "(rank 1 --out mpi --steps 3) & other=$!\n"
      "(rank 0 --out mpi --steps 3) && wait $other");
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const auto local = shell("(train --out local --procs 2 --steps 3)");
  ASSERT_EQ(local.exit_code, 0) << local.output;
  EXPECT_TRUE(last("mpi") == last("local"));
}

TEST_F(DistributedTraining, MistakesAreBadInput) {
  const auto batch = shell("(train --out run --procs 3 --steps 1)");
  EXPECT_EQ(batch.exit_code, 2);
  EXPECT_THAT(batch.output, HasSubstr("3 processes does not divide it"));
  const auto nested = shell("export RANK=0; (train --out run --procs 2 --steps 1)");
  EXPECT_EQ(nested.exit_code, 2);
  EXPECT_THAT(nested.output, HasSubstr("RANK is set"));
  const auto half = shell("export RANK=0; (train --out run --steps 1)");
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_THAT(half.output, HasSubstr("WORLD_SIZE is not"));
}

}  // namespace
}  // namespace posefix

// posefix train by several processes on this machine: started by itself (--procs) and as launchers do, killed,
// stopped, interrupted, resumed. Each run is a shell script, so that it can be repeated by hand.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

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

// How many times each test kills: POSEFIX_KILLS, else once.
int kills() {
  const char* text = std::getenv("POSEFIX_KILLS");
  return text == nullptr ? 1 : std::atoi(text);
}

TEST_F(DistributedTraining, ARankKilledAtARandomStepIsNamedAndTheRunResumesExactly) {
  const auto whole = shell("(train --out whole --procs 2 --steps 24)");
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_THAT(whole.output, HasSubstr("processes: 2"));
  std::random_device random;
  for (int i = 0; i < kills(); ++i) {
    const unsigned rank = random() % 2;
    const unsigned lines = 2 + random() % 16;  // of metrics.jsonl
    const std::string script = fmt::format(
        "(train --out killed{0} --procs 2 --steps 24) & run=$!\n"
        "await killed{0} {1}; sleep 0.0{2}; kill -9 $(child $run {3}); wait $run",
        i, lines, random() % 10, rank);
    SCOPED_TRACE(script);
    const auto killed = shell(script);
    EXPECT_EQ(killed.exit_code, 1) << killed.output;
    EXPECT_THAT(killed.output, HasSubstr(fmt::format("rank {} was ended by signal 9", rank)));
    // The other one's own words.
    EXPECT_THAT(killed.output, HasSubstr(rank == 1 ? "posefix: rank 1: no sign of life"
                                                   : "[rank 1] posefix: rank 0: keeps the job's store"));
    const auto resumed = shell(fmt::format("(train --out killed{} --procs 2 --steps 24 --resume)", i));
    ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
    EXPECT_TRUE(last(fmt::format("killed{}", i)) == last("whole"));
  }
  const auto fewer = shell("(train --out whole --procs 1 --steps 25 --resume)");
  EXPECT_EQ(fewer.exit_code, 2);
  EXPECT_THAT(fewer.output, HasSubstr("begun by 2 processes, now there are 1"));
}

// What LibTorch 2 logs when the store's own rank dies is not this program's message.
TEST_F(DistributedTraining, AKilledRankLeavesNoLogOfCallers) {
  const auto killed = shell(
      "unset TORCH_CPP_LOG_LEVEL\n(train --out run --procs 2 --steps 24) & run=$!\n"
      "await run 2; kill -9 $(child $run 0); wait $run");
  EXPECT_EQ(killed.exit_code, 1) << killed.output;
  EXPECT_THAT(killed.output, AllOf(HasSubstr("rank 0: keeps the job's store"), Not(HasSubstr("frame #"))));
}

// All processes at once, while rank 0 writes a snapshot; the same run again and again.
TEST_F(DistributedTraining, ARunKilledWhileItWritesASnapshotResumesExactly) {
  const std::string options = "--procs 2 --steps 80 --set train.snapshot_every=1";
  const auto whole = shell("(train --out whole " + options + ")");
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  for (int i = 0; i < kills(); ++i) {
    // A process group of its own, so that one signal ends all at once. Some steps pass before, so that the run comes
    // forward.
    const auto killed = shell(
        "writes() { for file in killed/.last.safetensors.*.tmp; do [ -e $file ] && return 0; done; return 1; }\n"
        "lines() { cat killed/metrics.jsonl 2>/dev/null | wc -l; }\n"
        "runs() { [ -d /proc/$run ] || exit 3; }\n"
        "enough=$(($(lines) + 4))\n"
        "setsid " POSEFIX_PROGRAM " train --config c.yaml --out killed " +
        options +
        " --resume & run=$!\n"
        "until [ $(lines) -ge $enough ]; do runs; sleep 0.05; done\n"
        "until writes; do runs; done\n"
        "kill -9 -$run; wait $run");
    SCOPED_TRACE(i);
    if (killed.exit_code == 3) break;  // it has done all steps
    EXPECT_EQ(killed.exit_code, 128 + 9) << killed.output;
  }
  const auto resumed = shell("(train --out killed " + options + " --resume)");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_TRUE(last("killed") == last("whole"));
  for (const auto& entry : fs::directory_iterator(folder_ / "killed")) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
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

// As a terminal and a launcher together send them: two signals to every process, and the parent's to its children.
TEST_F(DistributedTraining, TwoSignalsTogetherStillWriteASnapshot) {
  for (const char* processes : {"", "--procs 2"}) {
    fs::remove_all(folder_ / "run");
    const auto interrupted =
        shell(std::string("setsid " POSEFIX_PROGRAM " train --config c.yaml --out run --steps 1000 ") + processes +
              " --set train.snapshot_every=10000 & run=$!\nawait run 3; kill -INT -$run; kill -TERM -$run; wait $run");
    EXPECT_EQ(interrupted.exit_code, 130) << interrupted.output;
    EXPECT_TRUE(fs::exists(folder_ / "run/last.safetensors")) << interrupted.output;
  }
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

// A plan made on this CPU, opened on one with fewer instructions (oneDNN's DNNL_MAX_CPU_ISA stands in for it).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "base/testing/run_program.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class OtherCpu : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_file_atomically(folder_ / "model.yaml", "model: {width: 1/4, input_size: [64, 64]}\n");
    const fs::path snapshot = folder_ / "model.safetensors";
    expect_success(run_program(POSEFIX_PROGRAM, {"init", "--config", folder_ / "model.yaml", "--out", snapshot}));
    std::vector<std::string> compile{"compile", snapshot, "--precision", GetParam(), "--out", plan_};
    if (GetParam() == std::string("int8")) {
      for (const char* word : {"--calibration", POSEFIX_PICTURES, "--calibration-people", "2", "--held-out-people", "2",
                               "--max-drop", "1e9"}) {
        compile.emplace_back(word);
      }
    }
    expect_success(run_program(POSEFIX_PROGRAM, compile));
  }
  void TearDown() override { fs::remove_all(folder_); }

  static void expect_success(const ProgramResult& result) { ASSERT_EQ(result.code, 0) << result.output; }
  ProgramResult bench_with(const std::string& isa) const {
    return run_program("/usr/bin/env", {"DNNL_MAX_CPU_ISA=" + isa, POSEFIX_PROGRAM, "bench", plan_, "--batch", "2",
                                        "--threads", "1", "--rounds", "1"});
  }

  fs::path folder_ = fs::temp_directory_path() / fmt::format("other_cpu_{}_{}", ::getpid(), GetParam());
  fs::path plan_ = folder_ / "model.plan";
};

TEST_P(OtherCpu, OpensThePlanAndSaysWhatItFallsBackTo) {
  const std::string precision = GetParam();
  for (const char* isa : {"AVX2", "AVX512_CORE"}) {
    SCOPED_TRACE(isa);
    const ProgramResult result = bench_with(isa);
    expect_success(result);
    EXPECT_THAT(result.output, HasSubstr("cpu f32"));
    const auto says = HasSubstr(fmt::format("is in {}", precision));
    if (precision == "f32") {
      EXPECT_THAT(result.output, Not(says));
    } else {
      EXPECT_THAT(result.output, AllOf(says, HasSubstr("runs in f32")));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, OtherCpu, testing::Values("f32", "bf16", "int8"),
                         [](const auto& precision) { return std::string(precision.param); });

}  // namespace
}  // namespace posefix

// The verb bench: the timeline that it writes and the table of steps.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/run_program.h"
#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

class BenchCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file_atomically(folder_ / "model.yaml", "model: {width: 1/16, input_size: [64, 64]}\n");
    const ProgramResult made =
        run_program(POSEFIX_PROGRAM, {"init", "--config", folder_ / "model.yaml", "--out", model_});
    ASSERT_EQ(made.code, 0) << made.output;
  }

  ProgramResult bench(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"bench", model_, "--batch", "2", "--threads", "1", "--rounds", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(POSEFIX_PROGRAM, arguments);
  }

  TemporaryFolder folder_;
  fs::path model_ = folder_ / "model.safetensors";
  fs::path trace_ = folder_ / "trace.json";
};

// The complete events of each track, in the file's order.
std::map<int, std::vector<json>> tracks_of(const json& trace) {
  std::map<int, std::vector<json>> tracks;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") tracks[event.at("tid")].push_back(event);
  }
  return tracks;
}

TEST_F(BenchCommand, StepsOfTheTraceFollowEachOtherAndAddUpToTheirRun) {
  const ProgramResult result = bench({"--trace", trace_});
  ASSERT_EQ(result.code, 0) << result.output;
  const auto tracks = tracks_of(json::parse(read_file(trace_)));
  ASSERT_EQ(tracks.size(), 2U);
  for (const auto& [track, events] : tracks) {
    double end = 0;
    for (const json& event : events) {
      constexpr double kRounding = 1e-3;  // us
      EXPECT_GE(event.at("ts").get<double>(), end - kRounding) << event;
      EXPECT_GE(event.at("dur").get<double>(), 0) << event;
      end = event.at("ts").get<double>() + event.at("dur").get<double>();
    }
  }
  const std::vector<json>& runs = tracks.begin()->second;
  const std::vector<json>& steps = tracks.rbegin()->second;
  ASSERT_EQ(steps.size() % runs.size(), 0U);
  const size_t steps_a_run = steps.size() / runs.size();
  EXPECT_GT(steps_a_run, 50U);  // of a ResNet-50
  for (size_t i = 0; i < runs.size(); ++i) {
    double sum = 0;
    for (size_t j = 0; j < steps_a_run; ++j) sum += steps[i * steps_a_run + j].at("dur").get<double>();
    EXPECT_NEAR(sum, runs[i].at("dur").get<double>(), 1e-6 * sum + 0.01) << "run " << i;
  }
  EXPECT_THAT(steps[1].at("args").at("kernel").get<std::string>(), ::testing::Not(::testing::IsEmpty()));
  EXPECT_TRUE(steps[1].at("args").at("gflop").is_number());
}

TEST_F(BenchCommand, StepsTellTheirShareOfThePeakAndWhatTheyMove) {
  const ProgramResult result = bench({"--layers", "--json"});
  ASSERT_EQ(result.code, 0) << result.output;
  const json report = json::parse(result.output.substr(result.output.find("{\"images")));
  EXPECT_GT(report.at("peak_f32_gflops").get<double>(), 0);
  bool has_convolution = false;
  for (const json& step : report.at("layers")) {
    EXPECT_GT(step.at("mbyte").get<double>(), 0) << step;
    EXPECT_EQ(step.at("percent_of_peak").is_null(), step.at("gflop") == 0) << step;
    has_convolution |= step.at("gflop") != 0;
  }
  EXPECT_TRUE(has_convolution);
}

TEST_F(BenchCommand, BackendThatCannotTimeStepsSaysSoAndWritesNothing) {
  const ProgramResult result = bench({"--backend", "reference", "--trace", trace_});
  EXPECT_EQ(result.code, 2) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the reference backend cannot time single steps"));
  EXPECT_FALSE(fs::exists(trace_));
}

}  // namespace
}  // namespace posefix

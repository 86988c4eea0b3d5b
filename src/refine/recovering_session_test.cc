#include "refine/recovering_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace posefix::refine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers pose + 1, at most two batches in flight; fails in given calls of wait(), counted over all sessions.
class Device : public runtime::Session {
 public:
  Device(std::vector<int> fails, int* calls, int64_t in_flight = 2)
      : fails_(std::move(fails)), calls_(calls), in_flight_(in_flight) {
    info_.height = info_.width = 32;
    info_.joints = 1;
  }
  const runtime::ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return 4; }
  int64_t max_in_flight() const override { return in_flight_; }
  void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    submit(input, output);
    wait();
  }
  void submit(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    ASSERT_LT(static_cast<int64_t>(queue_.size()), in_flight_);
    queue_.push_back({input, output});
  }
  void wait() override {
    ASSERT_FALSE(queue_.empty());
    if (std::count(fails_.begin(), fails_.end(), ++*calls_) > 0) {
      queue_.clear();
      throw failed("507011 in call {}", *calls_);
    }
    const auto [input, output] = queue_.front();
    queue_.pop_front();
    for (size_t i = 0; i < input.pose.size(); ++i) output.coords[i] = input.pose[i] + 1;
  }

 private:
  runtime::ModelInfo info_;
  std::vector<int> fails_;
  int* calls_;
  int64_t in_flight_;
  std::deque<std::pair<runtime::CropBatch, runtime::RefinedBatch>> queue_;
};

// Three batches of one person, two of them in flight at a time.
std::vector<float> run_three(runtime::Session& session) {
  const std::vector<float> poses{10, 11, 20, 21, 30, 31};
  std::vector<float> answers(6, -1);
  const auto submit = [&](size_t i) {
    session.submit({1, {}, std::span(poses).subspan(2 * i, 2), {}}, {std::span(answers).subspan(2 * i, 2), {}});
  };
  submit(0);
  submit(1);
  session.wait();
  submit(2);
  session.wait();
  session.wait();
  return answers;
}

TEST(RecoveringSession, RunsWhatWasInFlightAgain) {
  for (const std::vector<int>& fails : {std::vector<int>{}, {1}, {2}, {3}, {1, 2, 4}}) {
    for (const int64_t in_flight : {1, 2}) {  // of the session that takes over
      int calls = 0;
      std::vector<std::string> errors;
      RecoveringSession session(std::make_unique<Device>(fails, &calls),
                                {.open = [&] { return std::make_unique<Device>(fails, &calls, in_flight); },
                                 .attempts = 2,
                                 .on_failure = [&](const std::string& error) { errors.push_back(error); }});
      EXPECT_THAT(run_three(session), ElementsAre(11, 12, 21, 22, 31, 32));
      EXPECT_EQ(errors.size(), fails.size());
    }
  }
}

TEST(RecoveringSession, GivesUpAfterFailuresInARow) {
  int calls = 0;
  const std::vector<int> fails{2, 3, 4};
  RecoveringSession session(
      std::make_unique<Device>(fails, &calls),
      {.open = [&] { return std::make_unique<Device>(fails, &calls); }, .attempts = 2, .on_failure = {}});
  try {
    run_three(session);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("507011 in call 4"));
  }
}

}  // namespace
}  // namespace posefix::refine

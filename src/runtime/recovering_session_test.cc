#include "runtime/recovering_session.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace posefix::runtime {
namespace {

// Answers pose + 1; fails at the calls of the device's whole life that `failures` names.
class FlakySession : public Session {
 public:
  FlakySession(std::string backend, int& calls, std::set<int> failures, int64_t in_flight)
      : calls_(calls), failures_(std::move(failures)), in_flight_(in_flight) {
    info_.height = 4;
    info_.width = 3;
    info_.joints = 1;
    info_.backend = std::move(backend);
  }
  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return 4; }
  int64_t max_in_flight() const override { return in_flight_; }
  void run(const CropBatch& input, const RefinedBatch& output) override {
    if (failures_.contains(++calls_)) throw failed("call {} failed", calls_);
    for (size_t i = 0; i < output.coords.size(); ++i) output.coords[i] = input.pose[i] + 1;
  }
  void submit(const CropBatch& input, const RefinedBatch& output) override { queue_.push_back({input, output}); }
  void wait() override {
    const auto [input, output] = queue_.front();
    queue_.pop_front();
    run(input, output);
  }

 private:
  ModelInfo info_;
  int& calls_;
  std::set<int> failures_;
  int64_t in_flight_;
  std::deque<std::pair<CropBatch, RefinedBatch>> queue_;
};

class Recovery : public ::testing::Test {
 protected:
  RecoveringSession session(std::set<int> failures, int retries, bool has_stand_in) {
    const auto open = [this, failures] {
      ++opened_;
      return std::make_unique<FlakySession>("device", calls_, failures, 2);
    };
    RecoveryOptions options;
    options.retries = retries;
    options.log = [this](const std::string& line) { log_ += line + "\n"; };
    if (has_stand_in) {
      options.stand_in = [this](int64_t) {
        return std::make_unique<FlakySession>("cpu", stand_in_calls_, std::set<int>{}, 1);
      };
    }
    return RecoveringSession(open, options);
  }

  // Six batches, two in flight; true if all answers are right.
  bool refine(RecoveringSession& session) {
    std::vector<std::vector<float>> poses;
    std::vector<std::vector<float>> answers(6, std::vector<float>(2, 0.0F));
    for (int i = 0; i < 6; ++i) poses.push_back({static_cast<float>(i), static_cast<float>(-i)});
    for (size_t i = 0; i < 6; ++i) {
      if (i >= 2) session.wait();
      session.submit({1, {}, poses[i], {}}, {answers[i], {}});
    }
    session.wait();
    session.wait();
    for (size_t i = 0; i < 6; ++i) {
      if (answers[i] != std::vector<float>{poses[i][0] + 1, poses[i][1] + 1}) return false;
    }
    return true;
  }

  int calls_ = 0;
  int stand_in_calls_ = 0;
  int opened_ = 0;
  std::string log_;
};

TEST_F(Recovery, WithoutFailureNothingChanges) {
  RecoveringSession s = session({}, 3, true);
  EXPECT_TRUE(refine(s));
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(log_, "");
}

TEST_F(Recovery, RepeatsWhatWasInFlight) {
  RecoveringSession s = session({2, 5, 6}, 2, false);
  EXPECT_TRUE(refine(s));
  EXPECT_EQ(opened_, 4);
  EXPECT_NE(log_.find("call 2 failed; opening the model again, attempt 1 of 2"), std::string::npos) << log_;
}

TEST_F(Recovery, GivesUpAfterTheRetries) {
  RecoveringSession s = session({2, 3, 4}, 2, false);
  EXPECT_THROW(refine(s), Error);
  RecoveringSession none = session({calls_ + 1}, 0, false);
  EXPECT_THROW(refine(none), Error);
}

TEST_F(Recovery, TheStandInTakesOver) {
  RecoveringSession s = session({3, 4}, 1, true);
  EXPECT_TRUE(refine(s));
  EXPECT_EQ(stand_in_calls_, 4);
  EXPECT_EQ(s.info().backend, "device");
  EXPECT_NE(log_.find("going on with the cpu backend"), std::string::npos) << log_;
}

TEST_F(Recovery, ADeviceThatCannotBeOpenedAgainLeavesTheStandIn) {
  int opened = 0;
  RecoveryOptions options;
  options.retries = 2;
  options.stand_in = [this](int64_t) {
    return std::make_unique<FlakySession>("cpu", stand_in_calls_, std::set<int>{}, 1);
  };
  RecoveringSession s(
      [&]() -> std::unique_ptr<Session> {
        if (++opened > 1) throw failed("no device");
        return std::make_unique<FlakySession>("device", calls_, std::set<int>{1}, 2);
      },
      options);
  EXPECT_TRUE(refine(s));
  EXPECT_EQ(opened, 3);
}

}  // namespace
}  // namespace posefix::runtime

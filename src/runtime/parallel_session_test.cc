#include "runtime/parallel_session.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "base/error.h"

namespace posefix::runtime {
namespace {

// Answers pose + 1; fails for a pose that begins with -1. Every batch waits for `together`, so that as many must run at
// the same time.
class Adder : public Session {
 public:
  explicit Adder(std::latch* together) : together_(together) { info_.joints = 1; }
  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return 4; }
  void run(const CropBatch& input, const RefinedBatch& output) override {
    if (together_ != nullptr) together_->arrive_and_wait();
    if (input.pose[0] == -1) throw failed("a bad batch");
    for (size_t i = 0; i < output.coords.size(); ++i) output.coords[i] = input.pose[i] + 1;
  }

 private:
  ModelInfo info_;
  std::latch* together_;
};

struct Batch {
  std::vector<float> pose, answer = {0, 0};
  CropBatch input() const { return {1, {}, pose, {}}; }
  RefinedBatch output() { return {answer, {}}; }
};

std::vector<Batch> batches(int count) {
  std::vector<Batch> result;
  for (int i = 0; i < count; ++i) result.push_back({{static_cast<float>(i), static_cast<float>(10 * i)}});
  return result;
}

TEST(ParallelSession, AnswersComeInTheOrderOfTheBatches) {
  std::atomic<int> opened = 0;
  ParallelSession session([&](int64_t) { return ++opened, std::make_unique<Adder>(nullptr); }, 3);
  EXPECT_EQ(session.max_in_flight(), 3);
  EXPECT_EQ(opened, 1) << "the others wait for their first batch";
  std::vector<Batch> all = batches(11);
  for (size_t i = 0; i < all.size() + 3; ++i) {
    if (i >= 3) {
      session.wait();
      Batch& done = all[i - 3];
      EXPECT_EQ(done.answer, (std::vector<float>{done.pose[0] + 1, done.pose[1] + 1})) << i - 3;
    }
    if (i < all.size()) session.submit(all[i].input(), all[i].output());
  }
  EXPECT_EQ(opened, 3);
}

TEST(ParallelSession, BatchesInFlightRunSideBySide) {
  std::latch together(2);  // one alone would wait for ever
  ParallelSession session([&](int64_t) { return std::make_unique<Adder>(&together); }, 2);
  std::vector<Batch> all = batches(2);
  for (Batch& batch : all) session.submit(batch.input(), batch.output());
  session.wait();
  session.wait();
  EXPECT_EQ(all[1].answer[1], 11);
}

TEST(ParallelSession, AnErrorDropsWhatIsInFlightAndTheSessionGoesOn) {
  ParallelSession session([&](int64_t) { return std::make_unique<Adder>(nullptr); }, 2);
  std::vector<Batch> all = batches(3);
  all[0].pose[0] = -1;
  session.submit(all[0].input(), all[0].output());
  session.submit(all[1].input(), all[1].output());
  EXPECT_THROW(session.wait(), Error);
  session.submit(all[2].input(), all[2].output());
  session.wait();
  EXPECT_EQ(all[2].answer[0], 3);
  session.wait();  // nothing is in flight
}

TEST(ParallelSession, AStreamThatCannotBeOpenedIsAnErrorOfItsBatch) {
  ParallelSession session(
      [&](int64_t stream) {
        if (stream == 1) throw failed("no memory for stream {}", stream);
        return std::make_unique<Adder>(nullptr);
      },
      2);
  std::vector<Batch> all = batches(2);
  for (Batch& batch : all) session.submit(batch.input(), batch.output());
  session.wait();
  EXPECT_EQ(all[0].answer[0], 1);
  EXPECT_THROW(session.wait(), Error);
}

TEST(ParallelSession, BatchesInFlightAreFinishedBeforeItEnds) {
  std::vector<Batch> all = batches(2);
  {
    ParallelSession session([&](int64_t) { return std::make_unique<Adder>(nullptr); }, 2);
    for (Batch& batch : all) session.submit(batch.input(), batch.output());
  }
  EXPECT_EQ(all[0].answer[0], 1);
  EXPECT_EQ(all[1].answer[0], 2);
}

}  // namespace
}  // namespace posefix::runtime

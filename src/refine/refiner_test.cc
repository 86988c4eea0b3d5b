#include "refine/refiner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "base/error.h"

namespace posefix::refine {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr int kJoints = 3;

pose::Skeleton skeleton() {
  pose::Skeleton skeleton;
  skeleton.name = "three";
  skeleton.joints = {"left", "right", "nose"};
  skeleton.flip_pairs = {{0, 1}};
  skeleton.sigmas = {0.1, 0.1, 0.1};
  skeleton.error_kinds = {"face", "face", "face"};
  return skeleton;
}

// Answers with the pose it is given, moved right by the brightness of the crop's first pixel.
class EchoSession : public runtime::Session {
 public:
  explicit EchoSession(int64_t max_batch) : max_batch_(max_batch) {
    info_.height = 64;
    info_.width = 48;
    info_.joints = kJoints;
  }
  const runtime::ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }
  void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    if (++calls_ == fail_in_call_) throw failed("device lost");
    const size_t row_bytes = static_cast<size_t>(info_.height * info_.width * 3);
    ASSERT_EQ(input.crops.size(), static_cast<size_t>(input.size) * row_bytes);
    ASSERT_LE(input.size, max_batch_);
    for (size_t i = 0; i < input.pose.size(); ++i) {
      const float shift = with_brightness_ && i % 2 == 0 ? input.crops[i / (2 * kJoints) * row_bytes] / 64.0F : 0.0F;
      output.coords[i] = input.pose[i] + shift;
    }
  }

  int64_t calls_ = 0;
  int64_t fail_in_call_ = -1;
  bool with_brightness_ = false;

 private:
  runtime::ModelInfo info_;
  int64_t max_batch_;
};

image::Image picture(size_t index) {
  image::Image image{100, 80, std::vector<uint8_t>(100 * 80 * 3)};
  for (size_t i = 0; i < image.bgr.size(); ++i) image.bgr[i] = static_cast<uint8_t>((i * 7 + index * 31) % 251);
  return image;
}

struct Crowd {
  std::vector<pose::Keypoints> poses;
  std::vector<Person> people;

  // People spread over `pictures` pictures, not grouped.
  explicit Crowd(size_t count, size_t pictures) : poses(count) {
    for (size_t i = 0; i < count; ++i) {
      const double x = 20.0 + static_cast<double>(i % 5) * 9;
      const double y = 15.0 + static_cast<double>(i % 7) * 6;
      poses[i] = {{x, y, 0.5}, {x + 14, y + 3, 0.7}, {x + 6, y + 20, 0.9}};
      people.push_back({i % pictures, &poses[i], std::nullopt, 0.5});
    }
  }
};

TEST(Refiner, PutsPosesBackWhereTheyWere) {
  EchoSession session(4);
  const Crowd crowd(9, 3);
  Refiner refiner(session, skeleton(), {true, std::nullopt, 2});
  const Refined refined = refiner.run(&picture, crowd.people);
  for (size_t person = 0; person < crowd.people.size(); ++person) {
    for (size_t joint = 0; joint < kJoints; ++joint) {
      EXPECT_NEAR(refined.coords(person)[2 * joint], crowd.poses[person][joint].x, 1e-2);
      EXPECT_NEAR(refined.coords(person)[2 * joint + 1], crowd.poses[person][joint].y, 1e-2);
    }
  }
  EXPECT_THAT(refined.kept, Each(1));
}

TEST(Refiner, ResultsDoNotDependOnThreadsOrBatchSize) {
  std::vector<double> first;
  const Crowd crowd(23, 6);
  for (const int64_t batch : {1, 3, 8}) {
    for (const int threads : {1, 4}) {
      EchoSession session(batch);
      session.with_brightness_ = true;
      Refiner refiner(session, skeleton(), {true, 0.9, threads});
      const Refined refined = refiner.run(&picture, crowd.people);
      if (first.empty()) first = refined.coords_image_px;
      EXPECT_EQ(refined.coords_image_px, first) << batch << " " << threads;
      EXPECT_EQ(session.calls_, (46 + batch - 1) / batch);
    }
  }
}

TEST(Refiner, DecodesEveryPictureOnce) {
  std::vector<std::atomic<int>> decoded(5);
  EchoSession session(2);
  const Crowd crowd(17, 5);
  Refiner(session, skeleton(), {})
      .run(
          [&](size_t index) {
            ++decoded[index];
            return picture(index);
          },
          crowd.people);
  for (const std::atomic<int>& count : decoded) EXPECT_EQ(count, 1);
}

TEST(Refiner, MirrorsTheSecondPass) {
  // A constant shift to the right in the crop and in its mirror image cancels out.
  class Shift : public EchoSession {
   public:
    Shift() : EchoSession(8) {}
    void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
      EchoSession::run(input, output);
      for (size_t i = 0; i < output.coords.size(); i += 2) output.coords[i] += 3;
    }
  };
  const Crowd crowd(1, 1);
  Shift session;
  const Refined both = Refiner(session, skeleton(), {true, std::nullopt, 1}).run(&picture, crowd.people);
  EXPECT_NEAR(both.coords(0)[0], crowd.poses[0][0].x, 1e-2);
  EXPECT_NEAR(both.first_crop_px[0] - both.mirrored_crop_px[0], 6, 1e-3);
  const Refined single = Refiner(session, skeleton(), {false, std::nullopt, 1}).run(&picture, crowd.people);
  EXPECT_GT(single.coords(0)[0], crowd.poses[0][0].x + 0.5);
  EXPECT_TRUE(single.mirrored_crop_px.empty());
}

TEST(Refiner, JointsWithoutScoreKeepTheirNumbersAsCropCoordinates) {
  pose::Keypoints keypoints{{10, 10, 0.5}, {40, 20, 0.5}, {30, 60, 0}};
  const std::vector<Person> people{{0, &keypoints, std::nullopt, 1}};
  EchoSession session(2);
  const Refined refined = Refiner(session, skeleton(), {}).run(&picture, people);
  EXPECT_EQ(refined.input_crop_px[4], 30);
  EXPECT_EQ(refined.input_crop_px[5], 60);
}

TEST(Refiner, SuppressesDuplicatesOfAPictureOnly) {
  pose::Keypoints a{{20, 20, 0.5}, {40, 22, 0.5}, {30, 60, 0.5}};
  const std::vector<Person> people{
      {0, &a, std::nullopt, 0.1}, {1, &a, std::nullopt, 0.1}, {0, &a, std::nullopt, 0.9}, {0, &a, std::nullopt, 0.2}};
  EchoSession session(3);
  EXPECT_THAT(Refiner(session, skeleton(), {}).run(&picture, people).kept, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(Refiner(session, skeleton(), {true, std::nullopt, 2}).run(&picture, people).kept, Each(1));
}

TEST(Refiner, ScoresOfJointsRankWithoutTheIgnoredSlots) {
  pose::Keypoints a{{20, 20, 0.5}, {40, 22, 0.5}, {30, 60, 0.5}};
  pose::Skeleton ignoring = skeleton();
  ignoring.ignored = {2};
  const std::vector<double> better{0.5, 0.5, 0};
  const std::vector<double> worse{0.4, 0.4, 1};
  const std::vector<Person> people{{0, &a, std::nullopt, 0.33, better}, {0, &a, std::nullopt, 0.6, worse}};
  EchoSession session(3);
  EXPECT_THAT(Refiner(session, ignoring, {}).run(&picture, people).kept, ElementsAre(1, 0));
}

TEST(Refiner, NamesTheFirstPictureThatFails) {
  EchoSession session(2);
  const Crowd crowd(30, 10);
  Refiner refiner(session, skeleton(), {true, 0.9, 4});
  try {
    refiner.run(
        [](size_t index) {
          if (index >= 3) throw bad_input("picture {} is broken", index);
          return picture(index);
        },
        crowd.people);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "picture 3 is broken");
  }
}

TEST(Refiner, EndsItsThreadsWhenTheDeviceFails) {
  EchoSession session(2);
  session.fail_in_call_ = 3;
  const Crowd crowd(40, 10);
  EXPECT_THROW(Refiner(session, skeleton(), {true, 0.9, 3}).run(&picture, crowd.people), Error);
}

// Works on two batches at a time, like a device with a queue: outputs appear at wait().
class QueueSession : public EchoSession {
 public:
  explicit QueueSession(int64_t max_batch) : EchoSession(max_batch) { with_brightness_ = true; }
  int64_t max_in_flight() const override { return 2; }
  void submit(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    ASSERT_LT(queue_.size(), 2U);
    queue_.push_back({input, output});
    most_ = std::max(most_, queue_.size());
  }
  void wait() override {
    ASSERT_FALSE(queue_.empty());
    const auto [input, output] = queue_.front();
    queue_.erase(queue_.begin());
    try {
      run(input, output);
    } catch (...) {
      queue_.clear();
      throw;
    }
  }
  std::vector<std::pair<runtime::CropBatch, runtime::RefinedBatch>> queue_;
  size_t most_ = 0;
};

TEST(Refiner, KeepsADeviceWithAQueueBusy) {
  const Crowd crowd(23, 6);
  EchoSession plain(3);
  plain.with_brightness_ = true;
  const Refined expected = Refiner(plain, skeleton(), {}).run(&picture, crowd.people);
  QueueSession queue(3);
  const Refined found = Refiner(queue, skeleton(), {}).run(&picture, crowd.people);
  EXPECT_EQ(found.coords_image_px, expected.coords_image_px);
  EXPECT_EQ(queue.most_, 2U);
}

// All waits for crops count, not only those with an empty queue; what they were for is told apart.
TEST(Refiner, TimesOfTheCallersThreadAddUp) {
  const Crowd crowd(23, 6);
  QueueSession queue(3);
  const RefineTimes busy = Refiner(queue, skeleton(), {}).run(&picture, crowd.people).times;
  EXPECT_GT(busy.waiting, busy.starved);
  EXPECT_GE(busy.other(), 0);
  EchoSession plain(3);  // whenever it waits for crops it has nothing to do
  const RefineTimes idle = Refiner(plain, skeleton(), {}).run(&picture, crowd.people).times;
  EXPECT_EQ(idle.waiting, idle.starved);
  EXPECT_GE(idle.other(), 0);
}

TEST(Refiner, LeavesNothingInTheQueueWhenItFails) {
  const Crowd crowd(40, 10);
  QueueSession queue(2);
  queue.fail_in_call_ = 4;
  EXPECT_THROW(Refiner(queue, skeleton(), {}).run(&picture, crowd.people), Error);
  EXPECT_TRUE(queue.queue_.empty());
  QueueSession fine(2);
  EXPECT_THROW(Refiner(fine, skeleton(), {})
                   .run(
                       [](size_t index) {
                         if (index == 7) throw bad_input("broken");
                         return picture(index);
                       },
                       crowd.people),
               Error);
  EXPECT_TRUE(fine.queue_.empty());
}

TEST(Refiner, NoPeopleIsNoWork) {
  EchoSession session(2);
  const Refined refined = Refiner(session, skeleton(), {}).run(&picture, {});
  EXPECT_EQ(session.calls_, 0);
  EXPECT_TRUE(refined.kept.empty());
}

// Answers 6 px to the right of the input in the crop and in its mirror image; joints' spreads are 1, 2, 3 px.
class SpreadSession : public EchoSession {
 public:
  SpreadSession() : EchoSession(5) {}
  void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    EchoSession::run(input, output);
    for (size_t i = 0; i < output.coords.size(); i += 2) output.coords[i] += 6;
    for (size_t i = 0; i < output.spread.size(); ++i) output.spread[i] = static_cast<float>(i % kJoints + 1);
  }
};

TEST(Refiner, MergesTheSpreadsOfBothPasses) {
  const Crowd crowd(7, 2);
  SpreadSession session;
  RefineOptions options;
  EXPECT_TRUE(Refiner(session, skeleton(), options).run(&picture, crowd.people).spread_crop_px.empty());
  options.spread = true;
  const Refined refined = Refiner(session, skeleton(), options).run(&picture, crowd.people);
  ASSERT_EQ(refined.spread_crop_px.size(), 7U * kJoints);
  for (size_t i = 0; i < refined.spread_crop_px.size(); ++i) {
    // Left (1) and right (2) change places in the mirror; the answers are 12 px apart.
    const double squares = i % kJoints == 2 ? 9 : (1 + 4) / 2.0;
    EXPECT_NEAR(refined.spread_crop_px[i], std::sqrt(squares + 36), 1e-4);
  }
  options.flip = false;
  EXPECT_THAT(Refiner(session, skeleton(), options).run(&picture, crowd.people).spread_crop_px[1], 2.0F);
}

TEST(Refiner, MovesJointsAsFarAsTheTrustSays) {
  auto trust = std::make_shared<trust::Trust>();
  trust->height = 64;
  trust->width = 48;
  trust->kinds = trust::joint_kinds(skeleton());
  ASSERT_EQ(trust->kinds.size(), 2U);  // left and right, nose
  trust->kinds[0].moves = true;        // half way; the nose stays
  trust->curve_spread_px = {1};
  trust->curve_error_px = {4};
  trust->bind(skeleton());
  Crowd crowd(9, 3);
  crowd.poses[4][1].score = 0;
  RefineOptions options;
  options.flip = false;
  options.nms_threshold.reset();
  SpreadSession session;
  const Refined raw = Refiner(session, skeleton(), options).run(&picture, crowd.people);
  options.trust = trust;
  const Refined refined = Refiner(session, skeleton(), options).run(&picture, crowd.people);
  for (size_t i = 0; i < crowd.people.size(); ++i) {
    const std::span<const double> from = raw.coords(i), to = refined.coords(i);
    for (size_t c = 0; c < 2; ++c) {
      const auto start = [&](size_t joint) { return c == 0 ? crowd.poses[i][joint].x : crowd.poses[i][joint].y; };
      EXPECT_NEAR(to[c], (start(0) + from[c]) / 2, 1e-9);
      EXPECT_EQ(to[2 + c], i == 4 ? from[2 + c] : (start(1) + from[2 + c]) / 2);
      EXPECT_EQ(to[4 + c], start(2));
    }
    EXPECT_NEAR(refined.uncertainty(i)[0], 4 * refined.crop_boxes[i].w / 48, 1e-9);
  }
  EXPECT_TRUE(raw.expected_oks.empty());
  EXPECT_EQ(refined.expected_oks.size(), 9U);
}

TEST(Refiner, RefusesASkeletonOfAnotherSize) {
  EchoSession session(2);
  pose::Skeleton other = skeleton();
  other.joints.push_back("tail");
  EXPECT_THROW(Refiner(session, other, {}), Error);
}

}  // namespace
}  // namespace posefix::refine

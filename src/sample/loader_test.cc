#include "sample/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace posefix::sample {
namespace {

using ::testing::HasSubstr;

bool same(const Batch& a, const Batch& b) {
  return a.size == b.size && a.first_sample == b.first_sample && a.crops == b.crops && a.pose == b.pose &&
         a.valid == b.valid && a.target == b.target && a.target_valid == b.target_valid;
}

class LoaderTest : public ::testing::Test {
 protected:
  static constexpr int kPictures = 7;

  void SetUp() override {
    Rng rng(1, 0, 0);
    for (int i = 0; i < kPictures; ++i) {
      image::Image picture{60 + 10 * i, 50, {}};
      picture.bgr.resize(3 * static_cast<size_t>(picture.width * picture.height));
      for (uint8_t& value : picture.bgr) value = static_cast<uint8_t>(rng.next_u32());
      source_.pictures.push_back(folder_ / (std::to_string(i) + (i % 2 == 0 ? ".jpg" : ".png")));
      image::encode(picture, source_.pictures.back());
      for (int person = 0; person <= i % 3; ++person) add_person(static_cast<size_t>(i), rng);
    }
    config_.crop = {64, 48};
    config_.batch_size = 4;
    config_.threads = 2;
    config_.block_pictures = 3;
  }

  void add_person(size_t image, Rng& rng) {
    dataset::Person person;
    person.image = image;
    person.bbox = {rng.uniform(0, 20), rng.uniform(0, 10), rng.uniform(15, 40), rng.uniform(20, 40)};
    for (int j = 0; j < 17; ++j) {
      person.gt.push_back({rng.uniform(0, 60), rng.uniform(0, 50), static_cast<double>(rng.below(3))});
    }
    person.estimated = person.gt;
    for (pose::Keypoint& joint : *person.estimated) joint.score = 0.5;
    const size_t index = source_.people.size();
    if (index > 0 && source_.people.back().image == image) {
      person.near.push_back(index - 1);
      source_.people.back().near.push_back(index);
    }
    source_.people.push_back(std::move(person));
  }

  std::unique_ptr<Loader> loader() const {
    return std::make_unique<Loader>(source_, skeleton_, synthesis::ErrorModel::paper(skeleton_), config_);
  }
  std::vector<Batch> batches(int64_t first, int64_t count) const {
    const auto made = loader();
    made->start(first);
    std::vector<Batch> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(made->next());
    return result;
  }

  // The first two batches, as several threads made them: one thread makes the same, and what the configuration changes
  // is left out where nothing is to be augmented.
  void expect_augmentation(const std::vector<Batch>& made) {
    config_.threads = 1;
    EXPECT_TRUE(same(batches(1, 1)[0], made[1]));
    config_.augment = false;
    const std::vector<Batch> bare = batches(0, 1);
    config_.augmentation = {};
    config_.appearance = {};
    EXPECT_TRUE(same(batches(0, 1)[0], bare[0]));
  }

  TemporaryFolder folder_;
  SampleSource source_;
  LoaderConfig config_;
  pose::Skeleton skeleton_ = pose::Skeleton::load("coco17");
};

TEST_F(LoaderTest, AppearanceChangesTheCropsAloneAndTheSameWhateverTheThreads) {
  const std::vector<Batch> plain = batches(0, 2);
  config_.appearance = {.color_jitter = 0.3, .blur_probability = 0.5, .patch_probability = 0.5};
  const std::vector<Batch> changed = batches(0, 2);
  EXPECT_NE(changed[0].crops, plain[0].crops);
  EXPECT_EQ(changed[0].pose, plain[0].pose);
  EXPECT_EQ(changed[0].target, plain[0].target);
  expect_augmentation(changed);
}

TEST_F(LoaderTest, PartsOfPeopleKeepALabelledJointAndLeaveOthersOut) {
  for (dataset::Person& person : source_.people) {  // a joint in each quarter of the box
    for (size_t j = 0; j < 17; ++j) {
      person.gt[j] = {person.bbox.x + person.bbox.w * (j % 2 == 0 ? 0.2 : 0.8),
                      person.bbox.y + person.bbox.h * (j % 4 < 2 ? 0.2 : 0.8), 2};
    }
  }
  config_.augmentation = {.scale_sigma = 0, .rotation_probability = 0};
  const auto labelled = [](const Batch& batch, int64_t row) {
    return std::count(batch.target_valid.begin() + row * 17, batch.target_valid.begin() + (row + 1) * 17, 1.0F);
  };
  const std::vector<Batch> whole = batches(0, 20);
  config_.augmentation.part_probability = 0.5;
  const std::vector<Batch> mixed = batches(0, 20);
  int cut = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int64_t row = 0; row < whole[i].size; ++row) {
      EXPECT_EQ(labelled(whole[i], row), 17);
      EXPECT_GT(labelled(mixed[i], row), 0);
      cut += labelled(mixed[i], row) < 17 ? 1 : 0;
    }
  }
  EXPECT_GT(cut, 10);
  EXPECT_LT(cut, 50);
  expect_augmentation(mixed);
}

TEST_F(LoaderTest, TheSameBytesWhateverTheThreadsCacheAndPrefetch) {
  const std::vector<Batch> expected = batches(0, 12);
  for (const int threads : {1, 3, 8}) {
    for (const size_t cache : {size_t{0}, size_t{20000}, size_t{1} << 30}) {
      config_.threads = threads;
      config_.cache_bytes = cache;
      config_.prefetch = threads;
      const std::vector<Batch> again = batches(0, 12);
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(same(expected[i], again[i])) << threads << " " << i;
    }
  }
}

TEST_F(LoaderTest, AShareOfTheSamplesIsTheEstimatorsPose) {
  config_.augment = false;
  for (dataset::Person& person : source_.people) {
    person.near.clear();
    for (size_t j = 0; j < 17; ++j) {  // the estimate: in the box, far from where errors are drawn
      person.gt[j].score = 2;
      (*person.estimated)[j] = {person.bbox.x + static_cast<double>(j), person.bbox.y + 1, j == 3 ? 0.0 : 0.5};
    }
  }
  const auto estimates = [&](double share) {
    config_.estimate_share = share;
    int found = 0;
    for (const Batch& batch : batches(0, 100)) {
      for (int64_t b = 0; b < batch.size; ++b) {
        // In a plain crop, x grows by the same step from joint to joint.
        const float* pose = batch.pose.data() + b * 17 * 2;
        const bool even = std::fabs((pose[2] - pose[0]) - (pose[4] - pose[2])) < 1e-3F && pose[2] > pose[0];
        const bool absent = batch.valid[static_cast<size_t>(b * 17 + 3)] == 0;
        EXPECT_EQ(even, absent);
        found += even ? 1 : 0;
      }
    }
    return found;
  };
  EXPECT_EQ(estimates(0), 0);
  EXPECT_EQ(estimates(1), 400);
  EXPECT_NEAR(estimates(0.5), 200, 50);
}

TEST_F(LoaderTest, ResumesAtAnyStep) {
  const std::vector<Batch> expected = batches(0, 9);
  for (int64_t first = 1; first < 9; ++first) {
    EXPECT_TRUE(same(expected[static_cast<size_t>(first)], batches(first, 1)[0])) << first;
  }
}

TEST_F(LoaderTest, RanksShareTheSamplesOfASingleProcess) {
  config_.batch_size = 6;
  const std::vector<Batch> whole = batches(0, 4);
  config_.batch_size = 3;
  config_.world = 2;
  for (config_.rank = 0; config_.rank < 2; ++config_.rank) {
    const std::vector<Batch> part = batches(0, 4);
    for (size_t step = 0; step < part.size(); ++step) {
      EXPECT_EQ(part[step].first_sample, whole[step].first_sample + 3 * config_.rank);
      const size_t length = part[step].pose.size();
      const auto begin = whole[step].pose.begin() + static_cast<ptrdiff_t>(length) * config_.rank;
      EXPECT_TRUE(std::equal(part[step].pose.begin(), part[step].pose.end(), begin));
      const auto crop = whole[step].crops.begin() + static_cast<ptrdiff_t>(part[step].crops.size()) * config_.rank;
      EXPECT_TRUE(std::equal(part[step].crops.begin(), part[step].crops.end(), crop));
    }
  }
}

TEST_F(LoaderTest, RanksShareEachPartOfABatch) {
  config_.batch_size = 8;
  const std::vector<Batch> whole = batches(0, 3);
  config_.batch_size = 4;
  config_.world = 2;
  config_.parts = 2;
  for (config_.rank = 0; config_.rank < 2; ++config_.rank) {
    const std::vector<Batch> mine = batches(0, 3);
    for (size_t step = 0; step < mine.size(); ++step) {
      for (int row = 0; row < 4; ++row) {  // parts of four samples, two a rank
        const auto length = static_cast<ptrdiff_t>(mine[step].pose.size()) / 4;
        const int from = row / 2 * 4 + config_.rank * 2 + row % 2;
        EXPECT_TRUE(std::equal(mine[step].pose.begin() + row * length, mine[step].pose.begin() + (row + 1) * length,
                               whole[step].pose.begin() + from * length));
      }
    }
  }
}

TEST_F(LoaderTest, EveryEpochHasEveryPersonOnceInAnotherOrder) {
  for (const int64_t block : {0, 1, 3, 100}) {
    SampleOrder order(source_.people, 5, block);
    const auto first = order.epoch(0);
    const auto second = order.epoch(1);
    EXPECT_EQ(std::set<uint32_t>(first->begin(), first->end()).size(), source_.people.size());
    EXPECT_EQ(std::set<uint32_t>(second->begin(), second->end()).size(), source_.people.size());
    EXPECT_NE(*first, *second);
    EXPECT_EQ(*SampleOrder(source_.people, 5, block).epoch(1), *second);
    EXPECT_NE(*SampleOrder(source_.people, 6, block).epoch(1), *second);
  }
}

TEST_F(LoaderTest, EachPictureIsDecodedOnceWithinABlock) {
  config_.threads = 3;
  config_.batch_size = static_cast<int64_t>(source_.people.size());
  config_.prefetch = 1;
  const auto made = loader();
  made->start(0);
  made->next();
  EXPECT_EQ(made->pictures_decoded(), kPictures);
  EXPECT_GE(made->stalled_s(), 0);
}

TEST_F(LoaderTest, ACorruptPictureIsFatalWithItsPath) {
  write_file_atomically(source_.pictures[2], "<html>not found</html>");
  const auto made = loader();
  made->start(0);
  std::string message;
  for (int i = 0; i < 6 && message.empty(); ++i) {
    try {
      made->next();
    } catch (const Error& error) {
      message = error.what();
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    }
  }
  EXPECT_THAT(message, HasSubstr(source_.pictures[2].string()));
  EXPECT_THROW(made->next(), Error);  // still, and again
}

TEST_F(LoaderTest, CorruptPicturesAreSkippedAlikeAndReportedOnce) {
  write_file_atomically(source_.pictures[2], "");
  std::filesystem::remove(source_.pictures[5]);
  config_.skip_corrupt = true;
  const std::vector<Batch> expected = batches(0, 8);
  config_.threads = 5;
  const auto made = loader();
  made->start(0);
  std::vector<std::string> reports;
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(same(expected[i], made->next()));
    for (std::string& report : made->take_reports()) reports.push_back(report);
  }
  ASSERT_EQ(reports.size(), 2U);
  EXPECT_NE(reports[0], reports[1]);
}

TEST_F(LoaderTest, NothingReadableOrNobodyIsAnError) {
  for (const auto& picture : source_.pictures) write_file_atomically(picture, "x");
  config_.skip_corrupt = true;
  const auto made = loader();
  made->start(0);
  EXPECT_THROW(made->next(), Error);
  source_.people.clear();
  EXPECT_THROW(loader(), Error);
}

TEST_F(LoaderTest, StopsWithoutBeingReadAndWithoutBeingStarted) {
  loader();
  const auto made = loader();
  made->start(3);
}

TEST_F(LoaderTest, SamplesAreInsideTheirRanges) {
  const std::vector<Batch> made = batches(0, 20);
  double rotated = 0;
  for (const Batch& batch : made) {
    for (size_t i = 0; i < batch.valid.size(); ++i) {
      EXPECT_TRUE(std::isfinite(batch.pose[2 * i]) && std::isfinite(batch.pose[2 * i + 1]));
      if (batch.target_valid[i] > 0) {
        EXPECT_GE(batch.target[2 * i], 0);
        EXPECT_LT(batch.target[2 * i], config_.crop.width);
        EXPECT_GE(batch.target[2 * i + 1], 0);
        EXPECT_LT(batch.target[2 * i + 1], config_.crop.height);
      } else {
        EXPECT_EQ(batch.target[2 * i], 0);
      }
    }
  }
  Rng rng(4, 0, 0);
  double flipped = 0;
  double clipped = 0;
  for (int i = 0; i < 4000; ++i) {
    const image::Augmentation drawn = draw_augmentation({}, rng);
    EXPECT_LE(std::abs(drawn.scale - 1), 0.3 + 1e-12);
    EXPECT_LE(std::abs(drawn.rotation_deg), 80);
    rotated += drawn.rotation_deg != 0 ? 1.0 / 4000 : 0;
    flipped += drawn.flip ? 1.0 / 4000 : 0;
    clipped += std::abs(drawn.scale - 1) > 0.3 - 1e-12 ? 1.0 / 4000 : 0;
  }
  EXPECT_NEAR(rotated, 0.6, 0.04);
  EXPECT_NEAR(flipped, 0.5, 0.04);
  EXPECT_NEAR(clipped, 0.317, 0.04);  // beyond one sigma
}

TEST_F(LoaderTest, AppendKeepsNeighbours) {
  SampleSource twice = source_;
  append(twice, source_);
  const size_t people = source_.people.size();
  ASSERT_EQ(twice.people.size(), 2 * people);
  for (size_t i = 0; i < people; ++i) {
    EXPECT_EQ(twice.people[people + i].image, source_.people[i].image + source_.pictures.size());
    for (size_t n = 0; n < source_.people[i].near.size(); ++n) {
      EXPECT_EQ(twice.people[people + i].near[n], source_.people[i].near[n] + people);
    }
  }
}

}  // namespace
}  // namespace posefix::sample

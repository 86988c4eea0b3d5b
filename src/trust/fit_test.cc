#include "trust/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "trust/error_curve.h"
#include "trust/minimise.h"

namespace posefix::trust {
namespace {

constexpr size_t kJoints = 17;
constexpr FitOptions kOptions{256, 192, true, 5};

pose::Skeleton coco() { return pose::Skeleton::load("coco17"); }

// How an input joint and an answer err; the spread that the network shows.
struct Errs {
  double input_px = 8;
  double answer_px = 8;
  double spread_px = 4;
};

template <typename Choose>
std::vector<Sample> people(size_t count, uint64_t seed, const Choose& choose) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < count; ++i) {
    Rng rng(seed, 0, i);
    Sample sample;
    sample.picture = i;
    sample.score = 0.5 + 0.4 * rng.uniform();
    sample.area = 120.0 * 200;
    for (size_t j = 0; j < kJoints; ++j) {
      const Errs errs = choose(rng, j);
      const pose::Keypoint truth{100 + 60 * rng.uniform(), 100 + 150 * rng.uniform(), 2};
      sample.truth.push_back(truth);
      sample.input.push_back(
          {truth.x + errs.input_px * rng.normal(), truth.y + errs.input_px * rng.normal(), 0.3 + 0.6 * rng.uniform()});
      sample.answer.push_back(truth.x + errs.answer_px * rng.normal());
      sample.answer.push_back(truth.y + errs.answer_px * rng.normal());
      sample.spread_px.push_back(static_cast<float>(errs.spread_px * (0.8 + 0.4 * rng.uniform())));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

TEST(Fit, APerfectNetworkIsFollowed) {
  const Fitted fitted = fit(people(150, 1, [](Rng&, size_t) { return Errs{10, 0, 2}; }), coco(), kOptions);
  EXPECT_GT(fitted.all.mean_step, 0.9);
  EXPECT_GT(fitted.all.oks_calibrated, 0.97 * fitted.all.oks_raw);
  for (const KindReport& kind : fitted.kinds) EXPECT_TRUE(kind.moves) << kind.name;
}

TEST(Fit, AUselessNetworkIsNotFollowed) {
  const Fitted fitted = fit(people(150, 2, [](Rng&, size_t) { return Errs{3, 60, 9}; }), coco(), kOptions);
  EXPECT_LT(fitted.all.mean_step, 0.1);
  EXPECT_GT(fitted.all.oks_calibrated, fitted.all.oks_before - 0.005);
}

TEST(Fit, EquallyGoodOnesMeetHalfWay) {
  const Fitted fitted = fit(people(400, 3, [](Rng&, size_t) { return Errs{8, 8, 4}; }), coco(), kOptions);
  EXPECT_NEAR(fitted.all.mean_step, 0.5, 0.1);
  EXPECT_GT(fitted.all.oks_calibrated, fitted.all.oks_before + 0.05);
  EXPECT_GT(fitted.all.oks_calibrated, fitted.all.oks_raw + 0.05);
}

TEST(Fit, TheSpreadDecides) {
  const auto mixed = [](Rng& rng, size_t) { return rng.uniform() < 0.5 ? Errs{8, 1, 2} : Errs{8, 60, 12}; };
  const Fitted fitted = fit(people(300, 4, mixed), coco(), kOptions);
  EXPECT_GT(fitted.trust.step(9, {2, 12, 0.6}), 0.85);
  EXPECT_LT(fitted.trust.step(9, {12, 80, 0.6}), 0.1);
  EXPECT_GT(fitted.all.oks_calibrated, fitted.all.oks_before + 0.08);
  EXPECT_GT(fitted.all.oks_calibrated, fitted.all.oks_raw + 0.1);
}

TEST(Fit, AKindThatOnlyLosesStays) {
  // Wrists (joints 9 and 10) go wrong with a narrow heat map; the others are helped.
  const auto wrong_wrists = [](Rng&, size_t joint) {
    return joint == 9 || joint == 10 ? Errs{2, 60, 2} : Errs{8, 2, 2};
  };
  const Fitted fitted = fit(people(200, 5, wrong_wrists), coco(), kOptions);
  for (size_t kind = 0; kind < fitted.kinds.size(); ++kind) {
    const KindReport& row = fitted.kinds[kind];
    if (row.name == "wrist") {
      EXPECT_LT(row.mean_step, 0.1);
      EXPECT_GT(row.oks_calibrated, row.oks_before - 0.01);
    } else {
      EXPECT_GT(row.oks_calibrated, row.oks_before + 0.05) << row.name;
    }
  }
}

TEST(Fit, AKindWithFewJointsIsLikeTheOthers) {
  const auto helped = [](Rng&, size_t) { return Errs{10, 1, 2}; };
  std::vector<Sample> samples = people(200, 6, helped);
  for (size_t i = 4; i < samples.size(); ++i) samples[i].truth[0].score = 0;  // four noses
  const Fitted fitted = fit(samples, coco(), kOptions);
  EXPECT_EQ(fitted.kinds[0].joints, 4);
  EXPECT_TRUE(fitted.kinds[0].moves);
  EXPECT_GT(fitted.trust.step(0, {2, 12, 0.6}), 0.7);
}

TEST(Fit, JointsWithoutInputTakeTheAnswer) {
  std::vector<Sample> samples = people(100, 7, [](Rng&, size_t) { return Errs{3, 60, 9}; });
  for (Sample& sample : samples) sample.input[9] = {0, 0, 0};
  const Fitted fitted = fit(samples, coco(), kOptions);
  for (const std::vector<double>& steps : fitted.steps) EXPECT_EQ(steps[9], 1);
}

TEST(Fit, NothingIsWorseOnTheFittedPeople) {
  for (const uint64_t seed : {11, 12, 13}) {
    const auto samples = people(60, seed, [](Rng& rng, size_t) {
      return Errs{1 + 8 * rng.uniform(), 1 + 30 * rng.uniform(), 1 + 10 * rng.uniform()};
    });
    const pose::Skeleton skeleton = coco();
    const Trust trust = fit(samples, skeleton, kOptions).trust;
    std::vector<double> gain(trust.kinds.size(), 0);
    std::vector<double> step(kJoints);
    for (const Sample& sample : samples) {
      steps(trust, sample.answered(), step);
      for (size_t j = 0; j < kJoints; ++j) {
        const auto oks = [&](double a) {
          const double x = sample.input[j].x + a * (sample.answer[2 * j] - sample.input[j].x) - sample.truth[j].x;
          const double y = sample.input[j].y + a * (sample.answer[2 * j + 1] - sample.input[j].y) - sample.truth[j].y;
          return std::exp(-(x * x + y * y) / (8 * skeleton.sigmas[j] * skeleton.sigmas[j] * sample.area));
        };
        gain[static_cast<size_t>(trust.kind_of(j))] += oks(step[j]) - oks(0);
      }
    }
    for (size_t kind = 0; kind < gain.size(); ++kind) EXPECT_GE(gain[kind], -1e-6) << trust.kinds[kind].name;
  }
}

TEST(Fit, UncertaintyIsTheMeanErrorAndRisesWithTheSpread) {
  // The answer errs by the spread in each direction: on average by sqrt(pi/2) of it.
  const auto honest = [](Rng& rng, size_t) {
    const double spread = 1 + 9 * rng.uniform();
    return Errs{60, spread, spread};
  };
  const Fitted fitted = fit(people(400, 8, honest), coco(), kOptions);
  double last = 0;
  for (double spread = 1.5; spread < 10; spread += 0.5) {
    const double error = fitted.trust.expected_error_px(9, spread);
    EXPECT_GE(error, last);
    last = error;
  }
  EXPECT_NEAR(fitted.trust.expected_error_px(9, 4), 5, 1.2);
}

TEST(Fit, TheScoreRanksPosesByTheirOks) {
  std::vector<Sample> samples = people(300, 9, [](Rng&, size_t) { return Errs{2, 2, 2}; });
  // Every third pose belongs to nobody: spread wide.
  for (size_t i = 0; i < samples.size(); i += 3) {
    samples[i].truth.clear();
    for (float& spread : samples[i].spread_px) spread *= 6;
  }
  const Fitted fitted = fit(samples, coco(), kOptions);
  for (size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(fitted.scores[i] < 0.5, i % 3 == 0) << i << " " << fitted.scores[i];
  }
}

// A network whose narrow heat maps are right on the estimator's people and wrong on others.
TEST(Fit, DrawnPosesTeachTheStepsAlone) {
  std::vector<Sample> samples = people(150, 14, [](Rng&, size_t) { return Errs{8, 2, 2}; });
  const Trust alone = fit(samples, coco(), kOptions).trust;
  std::vector<Sample> drawn = people(150, 15, [](Rng&, size_t) { return Errs{1, 40, 6}; });
  for (Sample& sample : drawn) sample.is_drawn = true;
  samples.insert(samples.end(), drawn.begin(), drawn.end());
  const Fitted both = fit(samples, coco(), kOptions);
  EXPECT_EQ(both.trust.people, 150);
  EXPECT_EQ(both.people, 150);
  EXPECT_EQ(both.poses, 150);
  EXPECT_GT(both.trust.step(9, {2, 12, 0.6}), 0.7);
  EXPECT_LT(both.trust.step(9, {6, 56, 0.6}), 0.2);
  // The drawn ones err by 50 px.
  EXPECT_LT(both.trust.expected_error_px(9, 6), 2 * alone.expected_error_px(9, 6));
  EXPECT_EQ(both.trust.score_scaling[1].mean, alone.score_scaling[1].mean);
}

TEST(Fit, DrawnPosesDoNotStandInForPeople) {
  std::vector<Sample> samples = people(60, 16, [](Rng&, size_t) { return Errs{}; });
  for (size_t i = 10; i < samples.size(); ++i) samples[i].is_drawn = true;
  EXPECT_THROW(fit(samples, coco(), kOptions), Error);
}

TEST(Fit, RepeatsItself) {
  const auto samples = people(60, 10, [](Rng& rng, size_t) { return Errs{8, 1 + 20 * rng.uniform(), 4}; });
  EXPECT_EQ(fit(samples, coco(), kOptions).trust.text(), fit(samples, coco(), kOptions).trust.text());
}

TEST(Fit, RefusesTooFewPeopleAndPictures) {
  const auto choose = [](Rng&, size_t) { return Errs{}; };
  EXPECT_THROW(fit(people(19, 1, choose), coco(), kOptions), Error);
  std::vector<Sample> one_picture = people(30, 1, choose);
  for (Sample& sample : one_picture) sample.picture = 7;
  EXPECT_THROW(fit(one_picture, coco(), kOptions), Error);
}

TEST(ErrorCurve, PoolsWhatWouldFall) {
  std::vector<SpreadError> values;
  for (int bin = 0; bin < 4; ++bin) {
    const double error = std::array{1.0, 5.0, 3.0, 8.0}[static_cast<size_t>(bin)];
    for (int i = 0; i < 20; ++i) values.push_back({std::exp(bin), error});
  }
  const ErrorCurve curve = fit_error_curve(values);
  ASSERT_EQ(curve.error_px.size(), 3U);
  EXPECT_NEAR(curve.error_px[0], 1, 1e-9);
  EXPECT_NEAR(curve.error_px[1], 4, 1e-9);
  EXPECT_NEAR(curve.error_px[2], 8, 1e-9);
  EXPECT_NEAR(std::log(curve.spread_px[1]), 1.5, 1e-9);
}

TEST(Minimise, FindsTheBottomOfACurvedValley) {
  const auto rosenbrock = [](std::span<const double> x, std::span<double> g) {
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    g[0] = -2 * a - 40 * x[0] * b;
    g[1] = 20 * b;
    return a * a + 10 * b * b;
  };
  const std::vector<double> found = minimise(rosenbrock, {-1.2, 1});
  EXPECT_NEAR(found[0], 1, 1e-4);
  EXPECT_NEAR(found[1], 1, 1e-4);
}

}  // namespace
}  // namespace posefix::trust

#include "sample/appearance.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace posefix::sample {
namespace {

constexpr image::CropSize kSize{64, 48};

std::vector<uint8_t> noise(uint64_t seed) {
  Rng rng(seed, 0, 0);
  std::vector<uint8_t> crop(static_cast<size_t>(kSize.height) * kSize.width * 3);
  for (uint8_t& value : crop) value = static_cast<uint8_t>(rng.next_u32());
  return crop;
}

std::vector<uint8_t> changed(const AppearanceConfig& config, std::vector<uint8_t> crop, uint64_t sample) {
  Rng rng(7, 0, sample);
  Appearance(config).change(kSize, rng, crop);
  return crop;
}

double roughness(const std::vector<uint8_t>& crop) {  // mean step between neighbours in a row
  double sum = 0;
  for (size_t i = 3; i < crop.size(); ++i) sum += std::abs(int{crop[i]} - int{crop[i - 3]});
  return sum / static_cast<double>(crop.size());
}

TEST(Appearance, AllZeroLeavesTheCropAsItIs) {
  EXPECT_TRUE(AppearanceConfig{}.changes_nothing());
  EXPECT_EQ(changed({}, noise(1), 1), noise(1));
}

TEST(Appearance, TheSameDrawGivesTheSameBytesAndAnotherDrawOthers) {
  const AppearanceConfig config{0.3, 0.5, 0.5};
  EXPECT_EQ(changed(config, noise(1), 1), changed(config, noise(1), 1));
  EXPECT_NE(changed(config, noise(1), 1), changed(config, noise(1), 2));
}

TEST(Appearance, ABlurSmoothsKeepsAPlainColorAndKeepsTheMean) {
  const AppearanceConfig config{.blur_probability = 1};
  const std::vector<uint8_t> blurred = changed(config, noise(1), 3);
  EXPECT_LT(roughness(blurred), roughness(noise(1)) / 4);
  std::vector<uint8_t> plain(noise(1).size());
  for (size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<uint8_t>(40 + 80 * (i % 3));
  EXPECT_EQ(changed(config, plain, 3), plain);
}

TEST(Appearance, APatchChangesOneRectangleOfItsSizeOnly) {
  const AppearanceConfig config{.patch_probability = 1};
  for (uint64_t sample = 0; sample < 50; ++sample) {
    const std::vector<uint8_t> before = noise(1);
    const std::vector<uint8_t> after = changed(config, before, sample);
    int left = kSize.width, right = -1, top = kSize.height, bottom = -1, differing = 0;
    for (int y = 0; y < kSize.height; ++y) {
      for (int x = 0; x < kSize.width; ++x) {
        const auto at = static_cast<ptrdiff_t>(y * kSize.width + x) * 3;
        if (std::equal(before.begin() + at, before.begin() + at + 3, after.begin() + at)) continue;
        ++differing;
        left = std::min(left, x);
        right = std::max(right, x);
        top = std::min(top, y);
        bottom = std::max(bottom, y);
      }
    }
    ASSERT_GT(differing, 0);
    EXPECT_LE(right - left + 1, 0.45 * kSize.width);
    EXPECT_LE(bottom - top + 1, 0.45 * kSize.height);
    EXPECT_GT(differing, 0.97 * (right - left + 1) * (bottom - top + 1)) << "sample " << sample;
  }
}

TEST(Appearance, LightStaysWithinWhatWasAskedFor) {
  const AppearanceConfig config{.color_jitter = 0.2};
  const std::vector<uint8_t> grey(noise(1).size(), 128);
  bool darker = false;
  bool brighter = false;
  for (uint64_t sample = 0; sample < 50; ++sample) {
    for (const int value : changed(config, grey, sample)) {
      // 128 * (1 +- 0.2) * (1 +- 0.2/3), then a contrast of 1 +- 0.2 about 128
      EXPECT_GE(value, 128 + 1.2 * 128 * (0.8 * (1 - 0.2 / 3) - 1) - 1);
      EXPECT_LE(value, 128 + 1.2 * 128 * (1.2 * (1 + 0.2 / 3) - 1) + 1);
      darker = darker || value < 120;
      brighter = brighter || value > 136;
    }
  }
  EXPECT_TRUE(darker && brighter);
}

TEST(Appearance, EveryOptionTakesEquallyManyDraws) {
  uint32_t next[2];
  for (const bool on : {false, true}) {
    Rng rng(7, 0, 1);
    std::vector<uint8_t> crop = noise(1);
    Appearance(on ? AppearanceConfig{0.3, 1, 1} : AppearanceConfig{}).change(kSize, rng, crop);
    next[on ? 1 : 0] = rng.next_u32();
  }
  EXPECT_EQ(next[0], next[1]);
}

}  // namespace
}  // namespace posefix::sample

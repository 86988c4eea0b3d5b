#include "sample/appearance.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace posefix::sample {
namespace {

constexpr int kChannels = 3;
// Sides of a patch, relative to the crop's.
constexpr double kSmallestPatch = 0.1;
constexpr double kLargestPatch = 0.45;
constexpr int kLargestRadius = 2;

// Means over 2 * radius + 1 values of a line whose values lie `step` apart, the outermost repeated beyond the ends.
void average_line(const uint8_t* from, uint8_t* to, int length, int step, int radius) {
  const auto at = [&](int i) { return int{from[std::clamp(i, 0, length - 1) * step]}; };
  const int width = 2 * radius + 1;
  int sum = 0;
  for (int i = -radius; i <= radius; ++i) sum += at(i);
  for (int i = 0; i < length; ++i) {
    to[i * step] = static_cast<uint8_t>((sum + radius) / width);
    sum += at(i + radius + 1) - at(i - radius);
  }
}

}  // namespace

void Appearance::change(image::CropSize size, Rng& rng, std::span<uint8_t> crop) {
  PFX_CHECK(crop.size() == static_cast<size_t>(size.height) * static_cast<size_t>(size.width) * kChannels);
  cover(size, rng, crop);
  const bool blurs = rng.uniform() < config_.blur_probability;
  const int radius = 1 + static_cast<int>(rng.below(kLargestRadius));
  if (blurs) {
    blur(size, radius, crop);
    blur(size, radius, crop);
  }
  relight(rng, crop);
}

void Appearance::cover(image::CropSize size, Rng& rng, std::span<uint8_t> crop) {
  const bool covers = rng.uniform() < config_.patch_probability;
  const auto height = static_cast<int>(size.height * rng.uniform(kSmallestPatch, kLargestPatch));
  const auto width = static_cast<int>(size.width * rng.uniform(kSmallestPatch, kLargestPatch));
  const auto place = [&](int room) { return static_cast<int>(rng.uniform(0, room + 1)); };
  const int to_y = place(size.height - height);
  const int to_x = place(size.width - width);
  const int from_y = place(size.height - height);
  const int from_x = place(size.width - width);
  const bool plain = rng.uniform() < 0.5;
  std::array<uint8_t, kChannels> color{};
  for (uint8_t& value : color) value = static_cast<uint8_t>(rng.below(256));
  if (!covers) return;
  const auto row_of = [&](int y, int x) { return (static_cast<ptrdiff_t>(y) * size.width + x) * kChannels; };
  if (!plain) before_.assign(crop.begin(), crop.end());
  for (int y = 0; y < height; ++y) {
    const auto to = crop.begin() + row_of(to_y + y, to_x);
    if (plain) {
      for (int x = 0; x < width; ++x) std::copy(color.begin(), color.end(), to + ptrdiff_t{x} * kChannels);
    } else {
      std::copy_n(before_.begin() + row_of(from_y + y, from_x), ptrdiff_t{width} * kChannels, to);
    }
  }
}

void Appearance::blur(image::CropSize size, int radius, std::span<uint8_t> crop) {
  before_.resize(crop.size());
  const int row = size.width * kChannels;
  for (int y = 0; y < size.height; ++y) {
    for (int c = 0; c < kChannels; ++c) {
      const ptrdiff_t first = static_cast<ptrdiff_t>(y) * row + c;
      average_line(crop.data() + first, before_.data() + first, size.width, kChannels, radius);
    }
  }
  for (int column = 0; column < row; ++column) {
    average_line(before_.data() + column, crop.data() + column, size.height, row, radius);
  }
}

void Appearance::relight(Rng& rng, std::span<uint8_t> crop) const {
  const double most = config_.color_jitter;
  const auto factor = [&] { return rng.uniform(1 - most, 1 + most); };
  const double brightness = factor();
  const double contrast = factor();
  std::array<std::array<uint8_t, 256>, kChannels> table{};
  constexpr double kGrey = 128;  // what contrast leaves as it is
  for (auto& channel : table) {
    const double gain = brightness * (1 + (factor() - 1) / 3);
    for (size_t value = 0; value < channel.size(); ++value) {
      const double lit = kGrey + contrast * (static_cast<double>(value) * gain - kGrey);
      channel[value] = static_cast<uint8_t>(std::lround(std::clamp(lit, 0.0, 255.0)));
    }
  }
  if (most == 0) return;
  for (size_t i = 0; i < crop.size(); ++i) crop[i] = table[i % kChannels][crop[i]];
}

}  // namespace posefix::sample

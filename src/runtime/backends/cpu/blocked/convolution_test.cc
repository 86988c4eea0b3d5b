// Own kernels, each that this CPU runs, against sums in double. Buffers have exactly the size that a call may touch.
#include "runtime/backends/cpu/blocked/convolution.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <bit>

#include "base/rng.h"
#include "runtime/backends/cpu/aligned.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu::blocked {
namespace {

using Values = std::vector<float>;

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> result{&kernels::portable_kernels()};
#ifdef __x86_64__
  if (has_instructions(dnnl::cpu_isa::avx2)) result.push_back(&kernels::avx2_kernels());
  if (has_instructions(dnnl::cpu_isa::avx512_core)) result.push_back(&kernels::avx512_kernels());
#endif
  return result;
}

Values random_values(int64_t count, uint64_t seed) {
  Rng rng(seed, 0, 0);
  Values values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

struct Case {
  Convolution convolution;
  Values x, weights, bias, before;

  explicit Case(const Convolution& c)
      : convolution(c),
        x(random_values(c.batch * c.in_channels * c.in_height * c.in_width, 1)),
        weights(random_values(c.taps * c.taps * c.in_channels * c.out_channels, 2)),
        bias(random_values(c.out_channels, 3)),
        before(random_values(c.batch * c.out_channels * c.step * c.out_height * c.step * c.out_width, 4)) {}

  double sum_at(int64_t lanes, int64_t person, int64_t channel, int64_t row, int64_t column) const {
    const Convolution& c = convolution;
    double sum = static_cast<double>(bias[static_cast<size_t>(channel)]);
    for (int64_t tap = 0; tap < c.taps * c.taps; ++tap) {
      const int64_t y = c.stride * row + tap / c.taps - c.pad_top;
      const int64_t px = c.stride * column + tap % c.taps - c.pad_left;
      if (y < 0 || px < 0 || y >= c.in_height || px >= c.in_width) continue;
      for (int64_t i = 0; i < c.in_channels; ++i) {
        const int64_t block = person * (c.in_channels / lanes) + i / lanes;
        const int64_t at = ((block * c.in_height + y) * c.in_width + px) * lanes + i % lanes;
        const int64_t weight = (tap * c.in_channels + i) * c.out_channels + channel;
        sum +=
            static_cast<double>(x[static_cast<size_t>(at)]) * static_cast<double>(weights[static_cast<size_t>(weight)]);
      }
    }
    return sum;
  }

  // Every value that the convolution writes is right and no other has changed.
  void expect_right(const Values& y, int64_t lanes, double tolerance) const {
    const Convolution& c = convolution;
    Values expected = before;
    for (int64_t at = 0; at < static_cast<int64_t>(before.size()); ++at) {
      const int64_t width = c.step * c.out_width;
      const int64_t height = c.step * c.out_height;
      const int64_t column = at / lanes % width;
      const int64_t row = at / lanes / width % height;
      if (row % c.step != c.first_row || column % c.step != c.first_column) continue;
      const int64_t block = at / lanes / width / height;
      const int64_t blocks = c.out_channels / lanes;
      double value = sum_at(lanes, block / blocks, block % blocks * lanes + at % lanes, row / c.step, column / c.step);
      if (c.adds) value += static_cast<double>(before[static_cast<size_t>(at)]);
      expected[static_cast<size_t>(at)] = static_cast<float>(c.relu ? std::max(value, 0.0) : value);
    }
    for (size_t at = 0; at < y.size(); ++at) ASSERT_NEAR(y[at], expected[at], tolerance) << at;
  }
};

Values run_winograd(const Kernels& kernels, const Winograd& form, const Case& test) {
  const Convolution& c = test.convolution;
  Values packed(static_cast<size_t>(products(form, c.stride) * c.in_channels * c.out_channels));
  pack_winograd(kernels, form, c.stride, c.in_channels, c.out_channels, test.weights.data(), packed.data());
  const WinogradConvolution winograd(kernels, form, c, packed.data(), test.bias.data());
  const AlignedBytes scratch = allocate(winograd.scratch_bytes());
  Values y = test.before;
  winograd.run(test.x.data(), y.data(), scratch.get());
  return y;
}

Values run_pointwise(const Kernels& kernels, const Case& test) {
  const Convolution& c = test.convolution;
  Values packed(test.weights.size());
  pack_pointwise(kernels, c.in_channels, c.out_channels, test.weights.data(), packed.data());
  Values y = test.before;
  PointwiseConvolution(kernels, c, packed.data(), test.bias.data()).run(test.x.data(), y.data());
  return y;
}

Convolution sized(int64_t batch, int64_t in, int64_t out, int64_t height, int64_t width, int64_t taps) {
  Convolution c;
  c.batch = batch;
  c.in_channels = in;
  c.out_channels = out;
  c.in_height = c.out_height = height;
  c.in_width = c.out_width = width;
  c.taps = taps;
  c.pad_top = c.pad_left = taps / 2;
  return c;
}

TEST(WinogradConvolution, EqualsSumsForEveryFormAtOddSizes) {
  for (const Kernels* kernels : all_kernels()) {
    for (const Winograd& form : kernels->winograd) {
      for (const auto& [batch, height, width] : {std::array<int64_t, 3>{1, 1, 1}, {3, 7, 5}, {2, 8, 6}, {8, 4, 3}}) {
        SCOPED_TRACE(fmt::format("{} F({}x{}, {}) {}x{}x{}", kernels->name, form.tile_height, form.tile_width,
                                 form.taps, batch, height, width));
        Convolution c = sized(batch, 32, 48, height, width, form.taps);
        c.relu = batch == 3;
        c.adds = batch == 2;
        const Case test(c);
        test.expect_right(run_winograd(*kernels, form, test), kernels->lanes, 2e-4);
      }
    }
  }
}

TEST(WinogradConvolution, PhasesFillTheWholeMapAndOnlyTheirPixels) {
  for (const Kernels* kernels : all_kernels()) {
    for (const Winograd& form : kernels->winograd) {
      if (form.taps != 2) continue;
      for (int64_t phase = 0; phase < 4; ++phase) {
        SCOPED_TRACE(fmt::format("{} F({}x{}) phase {}", kernels->name, form.tile_height, form.tile_width, phase));
        Convolution c = sized(2, 16, 32, 5, 6, 2);
        c.step = 2;
        c.first_row = phase / 2;
        c.first_column = phase % 2;
        c.pad_top = 1 - phase / 2;
        c.pad_left = 1 - phase % 2;
        const Case test(c);
        test.expect_right(run_winograd(*kernels, form, test), kernels->lanes, 1e-4);
      }
    }
  }
}

TEST(WinogradConvolution, EqualsSumsWithStride2) {
  for (const Kernels* kernels : all_kernels()) {
    for (const Winograd& form : kernels->winograd) {
      if (form.taps != 2) continue;
      for (const int64_t pad : {0, 1, 2}) {
        for (const auto& [batch, height, width] : {std::array<int64_t, 3>{1, 3, 3}, {3, 15, 10}, {2, 16, 12}}) {
          SCOPED_TRACE(fmt::format("{} F({}x{}) pad {} {}x{}x{}", kernels->name, form.tile_height, form.tile_width, pad,
                                   batch, height, width));
          Convolution c = sized(batch, 32, 48, height, width, 3);
          c.stride = 2;
          c.pad_top = pad;
          c.pad_left = pad == 2 ? 0 : pad;
          c.out_height = (height + 1) / 2;
          c.out_width = (width + 1) / 2;
          c.relu = batch == 3;
          c.adds = batch == 2;
          const Case test(c);
          test.expect_right(run_winograd(*kernels, form, test), kernels->lanes, 2e-4);
        }
      }
    }
  }
}

uint16_t to_bf16(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }
float from_bf16(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

// Blocks of 16 channels -> nhwc, and back.
template <typename From, typename To, typename Convert>
std::vector<To> transposed(const std::vector<From>& from, int64_t batch, int64_t channels, bool to_nhwc,
                           const Convert& convert) {
  constexpr int64_t kLanes = 16;
  std::vector<To> to(from.size());
  const int64_t pixels = static_cast<int64_t>(from.size()) / batch / channels;
  for (int64_t at = 0; at < static_cast<int64_t>(from.size()); ++at) {
    const int64_t person = at / (pixels * channels);
    const int64_t block = at / (pixels * kLanes) % (channels / kLanes);
    const int64_t pixel = at / kLanes % pixels;
    const auto in_blocks = static_cast<size_t>(at);
    const auto in_nhwc = static_cast<size_t>((person * pixels + pixel) * channels + block * kLanes + at % kLanes);
    to[to_nhwc ? in_nhwc : in_blocks] = convert(from[to_nhwc ? in_blocks : in_nhwc]);
  }
  return to;
}

// Where the CPU has no bf16 arithmetic, or AMX, there are no such kernels and oneDNN's run.
TEST(WinogradConvolution, Bf16FollowsTheSums) {
  const Kernels* kernels = kernels_for_bf16();
  const int64_t persons = kernels != nullptr ? 3 : 0;
  for (int64_t batch = 1; batch <= persons; ++batch) {
    for (const Winograd& form : kernels->winograd) {
      if (form.taps == 0) continue;
      SCOPED_TRACE(fmt::format("F({}x{}, {}) batch {}", form.tile_height, form.tile_width, form.taps, batch));
      Convolution c = sized(batch, 32, 48, 7, 5, form.taps);
      c.relu = batch == 2;
      c.adds = batch == 3;
      c.step = form.taps == 2 ? 2 : 1;
      Case test(c);
      for (Values* values : {&test.x, &test.weights, &test.before}) {
        for (float& value : *values) value = from_bf16(to_bf16(value));
      }
      std::vector<uint16_t> packed(static_cast<size_t>(form.points() * c.in_channels * c.out_channels));
      pack_winograd(*kernels, form, c.stride, c.in_channels, c.out_channels, test.weights.data(), packed.data());
      const WinogradConvolution winograd(*kernels, form, c, packed.data(), test.bias.data());
      const AlignedBytes scratch = allocate(winograd.scratch_bytes());
      const auto x = transposed<float, uint16_t>(test.x, batch, c.in_channels, true, to_bf16);
      auto y = transposed<float, uint16_t>(test.before, batch, c.out_channels, true, to_bf16);
      winograd.run(x.data(), y.data(), scratch.get());
      test.expect_right(transposed<uint16_t, float>(y, batch, c.out_channels, false, from_bf16), 16, 0.15);
    }
  }
}

TEST(WinogradConvolution, ResultIsSmallerWithoutPadding) {
  for (const Kernels* kernels : all_kernels()) {
    Convolution c = sized(1, 16, 16, 9, 8, 3);
    c.pad_top = c.pad_left = 0;
    c.out_height = 7;
    c.out_width = 6;
    const Case test(c);
    const Winograd* form = choose_form(*kernels, c, false);
    ASSERT_NE(form, nullptr);
    test.expect_right(run_winograd(*kernels, *form, test), kernels->lanes, 1e-4);
  }
}

// The tiles of one batch are cut into several chunks, and threads share each.
TEST(OwnConvolutions, ResultsDoNotDependOnTheNumberOfThreads) {
  const int before = omp_get_max_threads();
  for (const Kernels* kernels : all_kernels()) {
    const Case wide(sized(4, 256, 256, 32, 24, 3));
    const Case pointwise(sized(3, 64, 96, 31, 17, 1));
    Values of_wide, of_pointwise;
    for (const int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      const Values y = run_winograd(*kernels, *choose_form(*kernels, wide.convolution, false), wide);
      const Values z = run_pointwise(*kernels, pointwise);
      if (threads == 1) {
        of_wide = y;
        of_pointwise = z;
      }
      EXPECT_EQ(y, of_wide) << kernels->name;
      EXPECT_EQ(z, of_pointwise) << kernels->name;
    }
  }
  omp_set_num_threads(before);
}

TEST(PointwiseConvolution, EqualsSumsForEveryRemainder) {
  for (const Kernels* kernels : all_kernels()) {
    for (int64_t width = 1; width <= 7; ++width) {
      for (const int64_t out : {16, 32, 48, 64, 80}) {
        SCOPED_TRACE(fmt::format("{} width {} out {}", kernels->name, width, out));
        Convolution c = sized(2, 32, out, 1, width, 1);
        c.relu = width % 2 == 0;
        c.adds = width % 3 == 0;
        const Case test(c);
        test.expect_right(run_pointwise(*kernels, test), kernels->lanes, 1e-4);
      }
    }
  }
}

TEST(ChooseForm, TakesTheFewestProductsOrTheSmallestWeights) {
  const Kernels& kernels = kernels::portable_kernels();
  const auto tile = [&](int64_t height, int64_t width, int64_t taps, bool saves_memory) {
    const Winograd* form = choose_form(kernels, sized(1, 16, 16, height, width, taps), saves_memory);
    return std::pair(form->tile_height, form->tile_width);
  };
  EXPECT_EQ(tile(16, 12, 3, false), std::pair(4, 4));
  EXPECT_EQ(tile(8, 6, 3, false), std::pair(4, 3));
  EXPECT_EQ(tile(8, 6, 2, false), std::pair(4, 3));
  EXPECT_EQ(tile(8, 6, 2, true), std::pair(2, 2));
  EXPECT_EQ(choose_form(kernels, sized(1, 16, 16, 8, 6, 5), false), nullptr);
  Convolution strided = sized(1, 16, 16, 16, 12, 3);
  strided.stride = 2;
  EXPECT_EQ(choose_form(kernels, strided, false)->taps, 2);
  EXPECT_EQ(choose_form(kernels, strided, false)->tile_height, 4);
  EXPECT_EQ(choose_form(kernels, strided, true)->tile_height, 2);
  strided.taps = 5;
  EXPECT_EQ(choose_form(kernels, strided, false), nullptr);
}

}  // namespace
}  // namespace posefix::runtime::cpu::blocked

#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace posefix::kernels {
namespace {

using Values = std::vector<float>;

// Those of f32 that this CPU runs.
std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> result{&portable_kernels()};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) result.push_back(&avx2_kernels());
  if (__builtin_cpu_supports("avx512f") != 0) result.push_back(&avx512_kernels());
#endif
  return result;
}

Values random_values(int64_t count, uint64_t stream) {
  Rng rng(1, stream, 0);
  Values values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

// f32 whose upper half is bf16's, and back: to nearest even by an addition that carries, as the format is meant.
float widened(uint16_t bf16) {
  const uint32_t bits = uint32_t{bf16} << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
uint16_t rounded(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t upper = bits >> 16;
  const uint32_t lower = bits & 0xffff;
  return static_cast<uint16_t>(upper + (lower > 0x8000 || (lower == 0x8000 && upper % 2 == 1) ? 1 : 0));
}

double dot(const Values& a, const Values& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

template <typename Body>
void for_forms(const Body& body) {
  for (const Kernels* kernels : all_kernels()) {
    for (const Winograd& form : kernels->winograd) {
      SCOPED_TRACE(testing::Message() << kernels->name << ", " << form.taps << " taps, " << form.tile_height << "x"
                                      << form.tile_width);
      body(*kernels, form);
    }
  }
}

// A transform and its gradient are adjoint: <transform(x), p> = <x, gradient(p)>.
TEST(Kernels, SpreadIsTheTilesGradient) {
  for_forms([](const Kernels& kernels, const Winograd& form) {
    const int64_t lanes = kernels.lanes;
    const int64_t pixels = int64_t{form.tile_height} * form.tile_width;
    const Values points = random_values(form.points() * lanes, 1);
    const Values gradient = random_values(pixels * lanes, 2);
    const Values no_bias(static_cast<size_t>(lanes), 0.0F);
    for (const int64_t missing : {0, 1}) {  // the tile's last row and column
      Values tile(gradient.size(), 0.0F);
      Values spread(points.size(), -1.0F);
      const int64_t rows = form.tile_height - missing;
      const int64_t columns = form.tile_width - missing;
      form.tile({points.data(), lanes, no_bias.data(), tile.data(), form.tile_width * lanes, lanes, rows, columns,
                 false, false});
      form.spread({gradient.data(), form.tile_width * lanes, lanes, rows, columns, spread.data(), lanes});
      EXPECT_NEAR(dot(spread, points), dot(gradient, tile),
                  1e-5 * std::sqrt(dot(spread, spread) * dot(points, points)));
    }
  });
}

TEST(Kernels, FilterPointsAreTheFactorsProducts) {
  for_forms([](const Kernels& kernels, const Winograd& form) {
    const int64_t lanes = kernels.lanes;
    const int taps = form.taps;
    const Values filter = random_values(int64_t{taps} * taps * lanes, 3);
    Values points(static_cast<size_t>(form.points() * lanes));
    form.filter({filter.data(), points.data(), lanes});
    std::vector<double> down(static_cast<size_t>(form.window_height() * taps));
    std::vector<double> across(static_cast<size_t>(form.window_width() * taps));
    filter_factors(form.window_height(), taps, down.data());
    filter_factors(form.window_width(), taps, across.data());
    for (int point = 0; point < form.points(); ++point) {
      const double* rows = down.data() + point / form.window_width() * taps;
      const double* columns = across.data() + point % form.window_width() * taps;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        double expected = 0;
        for (int tap = 0; tap < taps * taps; ++tap) {
          expected += rows[tap / taps] * columns[tap % taps] * filter[static_cast<size_t>(tap * lanes + lane)];
        }
        EXPECT_NEAR(points[static_cast<size_t>(point * lanes + lane)], expected, 1e-6);
      }
    }
  });
}

TEST(Kernels, FilterGradientIsTheAdjoint) {
  for_forms([](const Kernels& kernels, const Winograd& form) {
    const int64_t lanes = kernels.lanes;
    const Values filter = random_values(int64_t{form.taps} * form.taps * lanes, 4);
    const Values gradient = random_values(form.points() * lanes, 5);
    Values points(gradient.size());
    Values taps(filter.size());
    form.filter({filter.data(), points.data(), lanes});
    form.filter_gradient({gradient.data(), lanes, taps.data()});
    EXPECT_NEAR(dot(points, gradient), dot(filter, taps), 1e-5 * std::sqrt(dot(taps, taps) * dot(filter, filter)));
  });
}

TEST(Kernels, MapsInBf16AreReadAndRoundedAsF32) {
  for_forms([](const Kernels& kernels, const Winograd& form) {
    const int64_t lanes = kernels.lanes;
    const int64_t pitch = form.tile_width * lanes;
    const int64_t pixels = int64_t{form.tile_height} * form.tile_width;
    std::vector<uint16_t> map;
    Values wide;
    for (const float value : random_values(pixels * lanes, 8)) {
      map.push_back(rounded(value));
      wide.push_back(widened(map.back()));
    }
    Values points(static_cast<size_t>(form.points() * lanes));
    Values expected(points.size());
    WindowTransform window{map.data(), form.tile_height, form.tile_width, lanes, -1, -1, 1, points.data(), lanes};
    form.bf16_window(window);
    window.map = wide.data();
    window.points = expected.data();
    form.window(window);
    EXPECT_EQ(points, expected);

    TileSpread spread{map.data(), pitch, lanes, form.tile_height, form.tile_width, points.data(), lanes};
    form.bf16_spread(spread);
    spread.map = wide.data();
    spread.points = expected.data();
    form.spread(spread);
    EXPECT_EQ(points, expected);

    const Values sums = random_values(form.points() * lanes, 9);
    const Values bias = random_values(lanes, 10);
    TileTransform tile{sums.data(),      lanes,           bias.data(), map.data(), pitch, lanes,
                       form.tile_height, form.tile_width, true,        true};
    form.bf16_tile(tile);
    tile.map = wide.data();
    form.tile(tile);
    for (size_t i = 0; i < map.size(); ++i) EXPECT_EQ(map[i], rounded(wide[i])) << wide[i];
  });
}

TEST(Kernels, Bf16KeepsInfinityAndNan) {
  for_forms([](const Kernels& kernels, const Winograd& form) {
    const auto lanes = static_cast<size_t>(kernels.lanes);
    const Values zeros(static_cast<size_t>(form.points()) * lanes, 0.0F);
    const auto result_of = [&](float value) {
      const Values bias(lanes, value);
      std::vector<uint16_t> map(lanes);
      form.bf16_tile({zeros.data(), kernels.lanes, bias.data(), map.data(), 0, 0, 1, 1, false, false});
      return widened(map[0]);
    };
    uint32_t bits = 0x7fffffff;  // a rounding would carry it into the sign
    float nan = 0;
    std::memcpy(&nan, &bits, sizeof nan);
    EXPECT_TRUE(std::isnan(result_of(nan)));
    EXPECT_TRUE(std::isnan(result_of(-nan)));
    EXPECT_EQ(result_of(INFINITY), INFINITY);
    EXPECT_EQ(result_of(std::numeric_limits<float>::max()), INFINITY);
    EXPECT_EQ(result_of(-0.0F), 0.0F);
    EXPECT_EQ(result_of(1 + 0x1p-8F), 1.0F);           // halfway, to even
    EXPECT_EQ(result_of(1 + 3 * 0x1p-8F), 1.015625F);  // likewise
  });
}

TEST(Kernels, ColumnProductEqualsLoops) {
  constexpr int64_t kCount = 13;
  for (const Kernels* kernels : all_kernels()) {
    const int64_t lanes = kernels->lanes;
    for (int vectors = 1; vectors <= kernels->vectors; ++vectors) {
      SCOPED_TRACE(testing::Message() << kernels->name << ", " << vectors << " vectors");
      const Values a = random_values(kCount * lanes, 6);
      const Values b = random_values(vectors * kCount * lanes, 7);
      const int64_t width = vectors * lanes;
      Values whole(static_cast<size_t>(lanes * width), 100.0F);
      kernels->column_product({a.data(), b.data(), kCount * lanes, kCount, whole.data(), false}, vectors);
      for (int64_t k = 0; k < lanes; ++k) {
        for (int64_t v = 0; v < width; ++v) {
          double expected = 0;
          for (int64_t t = 0; t < kCount; ++t) {
            expected += static_cast<double>(a[static_cast<size_t>(t * lanes + k)]) *
                        b[static_cast<size_t>((v / lanes * kCount + t) * lanes + v % lanes)];
          }
          EXPECT_NEAR(whole[static_cast<size_t>(k * width + v)], expected, 1e-5);
        }
      }
      // In two parts: the same bits.
      constexpr int64_t kFirst = 5;
      Values parts(whole.size());
      kernels->column_product({a.data(), b.data(), kCount * lanes, kFirst, parts.data(), false}, vectors);
      kernels->column_product(
          {a.data() + kFirst * lanes, b.data() + kFirst * lanes, kCount * lanes, kCount - kFirst, parts.data(), true},
          vectors);
      EXPECT_EQ(parts, whole);
    }
  }
}

}  // namespace
}  // namespace posefix::kernels

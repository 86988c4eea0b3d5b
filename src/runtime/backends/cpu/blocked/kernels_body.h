// The templates behind Kernels. Included by one file per instruction set, each of which defines POSEFIX_LANES,
// POSEFIX_VECTORS, POSEFIX_KERNELS (the function's name) and POSEFIX_FORMS first, and POSEFIX_BF16 for bf16.
//
// Everything is in an unnamed namespace and nothing of the standard library's is called: a function that two files
// share would be linked once, maybe with instructions that the CPU at hand lacks.
//
// Winograd's points are 0, 1, -1, 2, -2 and infinity, as many as the window has pixels. The transform of a window
// depends on the points alone; a tile's row i weighs point a with a^i, and infinity with 1 in the last row only.
#include <cstdint>
#include <cstring>
#ifdef POSEFIX_BF16
#include <immintrin.h>
#endif

#include "runtime/backends/cpu/blocked/kernels.h"

namespace posefix::runtime::cpu::blocked {
namespace {

#define POSEFIX_INLINE __attribute__((always_inline)) inline

constexpr int kLanes = POSEFIX_LANES;
constexpr int kRows = 6;  // with 4 vectors: 24 sums, 4 weights and 1 input value in 32 registers
constexpr int kVectors = POSEFIX_VECTORS;

using Floats = float __attribute__((vector_size(kLanes * sizeof(float))));

POSEFIX_INLINE Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
POSEFIX_INLINE void store(float* to, const Floats& value) { std::memcpy(to, &value, sizeof value); }
POSEFIX_INLINE Floats not_negative(const Floats& x) { return x > 0 ? x : Floats{}; }

#ifdef POSEFIX_BF16
using Value = uint16_t;

POSEFIX_INLINE Floats load(const Value* from) {
  using Narrow = uint16_t __attribute__((vector_size(kLanes * sizeof(uint16_t))));
  using Wide = uint32_t __attribute__((vector_size(kLanes * sizeof(uint32_t))));
  Narrow value;
  std::memcpy(&value, from, sizeof value);
  return reinterpret_cast<Floats>(__builtin_convertvector(value, Wide) << 16);
}
POSEFIX_INLINE void store(Value* to, const Floats& value) {
  const __m256bh rounded = _mm512_cvtneps_pbh(value);
  std::memcpy(to, &rounded, sizeof rounded);
}

// Adds one block of channels, two at a time, to sums.
template <int kR, int kV>
POSEFIX_INLINE void add_block(Floats (&sums)[kR][kV], const Value* a, const Value* weights) {
#pragma GCC unroll 4
  for (int k = 0; k < kLanes; k += 2, weights += 2 * kV * kLanes) {
    __m512bh w[kV];
    for (int v = 0; v < kV; ++v) std::memcpy(&w[v], weights + 2 * v * kLanes, sizeof w[v]);
    for (int r = 0; r < kR; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * kLanes + k, sizeof pair);
      const __m512i pairs = _mm512_set1_epi32(pair);
      __m512bh value;
      std::memcpy(&value, &pairs, sizeof value);
      for (int v = 0; v < kV; ++v) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], value, w[v]);
    }
  }
}
#else
using Value = float;

// Adds one block of channels to sums.
template <int kR, int kV>
POSEFIX_INLINE void add_block(Floats (&sums)[kR][kV], const Value* a, const Value* weights) {
#pragma GCC unroll 4
  for (int k = 0; k < kLanes; ++k, weights += kV * kLanes) {
    Floats w[kV];
    for (int v = 0; v < kV; ++v) w[v] = load(weights + v * kLanes);
    for (int r = 0; r < kR; ++r) {
      const Floats value = Floats{} + a[r * kLanes + k];
      for (int v = 0; v < kV; ++v) sums[r][v] += value * w[v];
    }
  }
}
#endif

template <int kR, int kV>
void product(const Product& p) {
  Floats sums[kR][kV];
  for (int v = 0; v < kV; ++v) {
    const Floats bias = p.bias != nullptr ? load(p.bias + v * kLanes) : Floats{};
    for (int r = 0; r < kR; ++r) sums[r][v] = bias;
  }
  if (p.adds) {  // what will be needed at the end
    for (int v = 0; v < kV; ++v) {
      for (int r = 0; r < kR; ++r) __builtin_prefetch(p.c + v * p.c_pitch + r * kLanes);
    }
  }
  const auto* a = static_cast<const Value*>(p.a);
  const auto* weights = static_cast<const Value*>(p.weights);
  for (int64_t block = 0; block < p.blocks; ++block) {
    for (int r = 0; r < kR; ++r) __builtin_prefetch(a + (kR + r) * kLanes);  // the next rows, or the next block
    add_block<kR, kV>(sums, a, weights);
    a += p.a_pitch;
    weights += kLanes * kV * kLanes;
  }
  for (int v = 0; v < kV; ++v) {
    float* c = p.c + v * p.c_pitch;
    for (int r = 0; r < kR; ++r) {
      if (p.adds) sums[r][v] += load(c + r * kLanes);
      store(c + r * kLanes, p.relu ? not_negative(sums[r][v]) : sums[r][v]);
    }
  }
}

template <int kV>
void product_of_rows(const Product& p, int rows) {
  switch (rows) {
    case 1:
      return product<1, kV>(p);
    case 2:
      return product<2, kV>(p);
    case 3:
      return product<3, kV>(p);
    case 4:
      return product<4, kV>(p);
    case 5:
      return product<5, kV>(p);
    default:
      return product<kRows, kV>(p);
  }
}

void any_product(const Product& p, int rows, int vectors) {
  if constexpr (kVectors >= 4) {
    if (vectors == 4) return product_of_rows<4>(p, rows);
    if (vectors == 3) return product_of_rows<3>(p, rows);
  }
  if constexpr (kVectors >= 2) {
    if (vectors == 2) return product_of_rows<2>(p, rows);
  }
  product_of_rows<1>(p, rows);
}

// Values of n pixels -> those of n points.
POSEFIX_INLINE void to_points(Floats (&x)[3]) {  // 0, 1, infinity
  x[0] = x[1] - x[0];
  x[2] = x[2] - x[1];
}
POSEFIX_INLINE void to_points(Floats (&x)[4]) {  // 0, 1, -1, infinity
  const Floats one = x[2] + x[1];
  const Floats minus_one = x[2] - x[1];
  x[0] = x[2] - x[0];
  x[3] = x[3] - x[1];
  x[1] = one;
  x[2] = minus_one;
}
POSEFIX_INLINE void to_points(Floats (&x)[5]) {  // 0, 1, -1, 2, infinity
  const Floats odd = x[3] - x[1];
  const Floats even = x[2] - x[0];
  const Floats one = x[3] - x[2] - 2 * x[1];
  const Floats minus_one = x[3] - 3 * x[2] + 2 * x[1];
  x[0] = odd - 2 * even;
  x[4] = (x[4] - x[2]) - 2 * odd;
  x[1] = one;
  x[2] = minus_one;
  x[3] = odd;
}
POSEFIX_INLINE void to_points(Floats (&x)[6]) {  // 0, 1, -1, 2, -2, infinity
  const Floats even = x[4] - 4 * x[2];
  const Floats odd = x[3] - 4 * x[1];
  const Floats even_twice = x[4] - x[2];
  const Floats odd_twice = 2 * (x[3] - x[1]);
  x[0] = 4 * x[0] - 5 * x[2] + x[4];
  x[5] = 4 * x[1] - 5 * x[3] + x[5];
  x[1] = even + odd;
  x[2] = even - odd;
  x[3] = even_twice + odd_twice;
  x[4] = even_twice - odd_twice;
}

// Values of n points -> those of kM results.
template <int kM>
POSEFIX_INLINE void from_points(const Floats (&p)[3], Floats (&y)[kM]) {
  static_assert(kM == 2);
  y[0] = p[0] + p[1];
  y[1] = p[1] + p[2];
}
template <int kM>
POSEFIX_INLINE void from_points(const Floats (&p)[4], Floats (&y)[kM]) {
  static_assert(kM == 2 || kM == 3);
  const Floats sum = p[1] + p[2];
  y[0] = p[0] + sum;
  y[1] = p[1] - p[2];
  if constexpr (kM == 3) y[2] = sum;
  y[kM - 1] += p[3];
}
template <int kM>
POSEFIX_INLINE void from_points(const Floats (&p)[5], Floats (&y)[kM]) {
  static_assert(kM == 3 || kM == 4);
  const Floats sum = p[1] + p[2];
  const Floats difference = p[1] - p[2];
  y[0] = p[0] + sum + p[3];
  y[1] = difference + 2 * p[3];
  y[2] = sum + 4 * p[3];
  if constexpr (kM == 4) y[3] = difference + 8 * p[3];
  y[kM - 1] += p[4];
}
template <int kM>
POSEFIX_INLINE void from_points(const Floats (&p)[6], Floats (&y)[kM]) {
  static_assert(kM == 4);
  const Floats sum = p[1] + p[2];
  const Floats difference = p[1] - p[2];
  const Floats sum_twice = p[3] + p[4];
  const Floats difference_twice = p[3] - p[4];
  y[0] = p[0] + sum + sum_twice;
  y[1] = difference + 2 * difference_twice;
  y[2] = sum + 4 * sum_twice;
  y[3] = difference + 8 * difference_twice + p[5];
}

template <int kHeight, int kWidth>
void transform_window(const WindowTransform& t) {
  Floats rows[kHeight][kWidth];
  const bool is_inside = t.y >= 0 && t.x >= 0 && t.y + kHeight <= t.height && t.x + kWidth <= t.width;
  for (int i = 0; i < kHeight; ++i) {
    const Value* from = static_cast<const Value*>(t.map) + ((t.y + i) * t.width + t.x) * t.pixel_pitch;
    if (is_inside) {
      for (int j = 0; j < kWidth; ++j) rows[i][j] = load(from + j * t.pixel_pitch);
    } else {
      const bool is_row = t.y + i >= 0 && t.y + i < t.height;
      for (int j = 0; j < kWidth; ++j) {
        const bool is_pixel = is_row && t.x + j >= 0 && t.x + j < t.width;
        rows[i][j] = is_pixel ? load(from + j * t.pixel_pitch) : Floats{};
      }
    }
    to_points(rows[i]);
  }
  for (int j = 0; j < kWidth; ++j) {
    Floats column[kHeight];
    for (int i = 0; i < kHeight; ++i) column[i] = rows[i][j];
    to_points(column);
    for (int i = 0; i < kHeight; ++i) {
      store(static_cast<Value*>(t.points) + (i * kWidth + j) * t.pitch, column[i]);
    }
  }
}

template <int kTaps, int kHeight, int kWidth>
void transform_tile(const TileTransform& t) {
  constexpr int kWindowHeight = kHeight + kTaps - 1;
  constexpr int kWindowWidth = kWidth + kTaps - 1;
  Floats rows[kHeight][kWindowWidth];
  for (int j = 0; j < kWindowWidth; ++j) {
    Floats column[kWindowHeight];
    for (int i = 0; i < kWindowHeight; ++i) column[i] = load(t.points + (i * kWindowWidth + j) * t.pitch);
    Floats results[kHeight];
    from_points<kHeight>(column, results);
    for (int i = 0; i < kHeight; ++i) rows[i][j] = results[i];
  }
  const Floats bias = load(t.bias);
  for (int i = 0; i < kHeight && i < t.rows; ++i) {
    Floats results[kWidth];
    from_points<kWidth>(rows[i], results);
    for (int j = 0; j < kWidth && j < t.columns; ++j) {
      Value* to = static_cast<Value*>(t.map) + i * t.row_pitch + j * t.column_pitch;
      Floats value = results[j] + bias;
      if (t.adds) value += load(to);
      store(to, t.relu ? not_negative(value) : value);
    }
  }
}

template <int kTaps, int kHeight, int kWidth>
constexpr Winograd form() {
  return {kTaps, kHeight, kWidth, &transform_window<kHeight + kTaps - 1, kWidth + kTaps - 1>,
          &transform_tile<kTaps, kHeight, kWidth>};
}

constexpr Kernels kKernels{POSEFIX_NAME, sizeof(Value), kLanes, kRows, kVectors, &any_product, {POSEFIX_FORMS}};

}  // namespace

const Kernels& POSEFIX_KERNELS() { return kKernels; }

}  // namespace posefix::runtime::cpu::blocked

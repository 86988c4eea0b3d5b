#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"

namespace posefix::runtime::cpu::blocked {
namespace {

constexpr double kFinitePoints[] = {0, 1, -1, 2, -2};

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Points and sums of the tiles at hand: more does not fit beside the weights in a core's share of the caches.
constexpr int64_t kWorkingBytes = int64_t{6} << 20;

#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define POSEFIX_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define POSEFIX_CLONES
#endif

// to[o] = sum over tap of factors[tap] * from[tap * pitch + o], for whole blocks of channels.
POSEFIX_CLONES
void weigh_taps(const float* factors, int taps, const float* from, int64_t pitch, int64_t count, float* to) {
  constexpr int64_t kTogether = 8;  // divides every block
  for (int64_t o = 0; o < count; o += kTogether) {
    float sums[kTogether] = {};
    for (int tap = 0; tap < taps; ++tap) {
      for (int64_t k = 0; k < kTogether; ++k) sums[k] += factors[tap] * from[tap * pitch + o + k];
    }
    for (int64_t k = 0; k < kTogether; ++k) to[o + k] = sums[k];
  }
}

// A pitch that maps the points of one tile to different sets of a cache.
int64_t skewed(int64_t floats) { return floats + 16; }

}  // namespace

void filter_factors(int window, int taps, double* factors) {
  const int finite = window - 1;
  for (int j = 0; j < finite; ++j) {
    double divisor = 1;
    for (int other = 0; other < finite; ++other) {
      if (other != j) divisor *= kFinitePoints[j] - kFinitePoints[other];
    }
    for (int k = 0; k < taps; ++k) factors[j * taps + k] = std::pow(kFinitePoints[j], k) / divisor;
  }
  for (int k = 0; k < taps; ++k) factors[finite * taps + k] = k == taps - 1 ? 1 : 0;
}

const Winograd* choose_form(const Kernels& kernels, const Convolution& c, bool saves_memory) {
  const Winograd* best = nullptr;
  int64_t least = 0;
  for (const Winograd& form : kernels.winograd) {
    if (form.taps != c.taps) continue;
    const int64_t tiles = ceil_divide(c.out_height, form.tile_height) * ceil_divide(c.out_width, form.tile_width);
    const int64_t cost = saves_memory ? form.points() : tiles * form.points();
    if (best != nullptr && cost >= least) continue;
    best = &form;
    least = cost;
  }
  return best;
}

// One output channel's vector at a time: G w G^T over the taps, all in double.
void pack_winograd(const Kernels& kernels, const Winograd& form, int64_t in, int64_t out, const float* weights,
                   float* packed) {
  const int height = form.window_height();
  const int width = form.window_width();
  const int taps = form.taps;
  std::vector<double> vertical(static_cast<size_t>(height * taps));
  std::vector<double> horizontal(static_cast<size_t>(width * taps));
  filter_factors(height, taps, vertical.data());
  filter_factors(width, taps, horizontal.data());
  std::vector<float> factors;  // [point][tap]
  for (int point = 0; point < height * width; ++point) {
    for (int tap = 0; tap < taps * taps; ++tap) {
      factors.push_back(static_cast<float>(vertical[static_cast<size_t>(point / width * taps + tap / taps)] *
                                           horizontal[static_cast<size_t>(point % width * taps + tap % taps)]));
    }
  }
  const int64_t wide = int64_t{kernels.vectors} * kernels.lanes;
#pragma omp parallel for
  for (int64_t i = 0; i < in; ++i) {
    for (int point = 0; point < height * width; ++point) {
      const float* factor = factors.data() + point * taps * taps;
      for (int64_t first = 0; first < out; first += wide) {
        const int64_t count = std::min(wide, out - first);
        weigh_taps(factor, taps * taps, weights + i * out + first, in * out, count,
                   packed + (point * out + first) * in + i * count);
      }
    }
  }
}

WinogradConvolution::WinogradConvolution(const Kernels& kernels, const Winograd& form, const Convolution& convolution,
                                         const float* weights, const float* bias)
    : kernels_(kernels),
      form_(form),
      convolution_(convolution),
      weights_(weights),
      bias_(static_cast<size_t>(convolution.out_channels), 0.0F),
      in_blocks_(convolution.in_channels / kernels.lanes),
      out_blocks_(convolution.out_channels / kernels.lanes) {
  const Convolution& c = convolution_;
  PFX_CHECK(c.in_channels % kernels.lanes == 0 && c.out_channels % kernels.lanes == 0 && c.taps == form.taps);
  if (bias != nullptr) std::copy_n(bias, c.out_channels, bias_.begin());
  for (int64_t person = 0; person < c.batch; ++person) {
    for (int64_t y = 0; y < c.out_height; y += form.tile_height) {
      for (int64_t x = 0; x < c.out_width; x += form.tile_width) places_.push_back({person, y, x});
    }
  }
  const auto tiles = static_cast<int64_t>(places_.size());
  groups_ = ceil_divide(tiles, kernels.rows);
  rows_ = ceil_divide(tiles, groups_);
  const int64_t group_floats = rows_ * kernels.lanes * (in_blocks_ + out_blocks_);
  const int64_t most = std::max<int64_t>(1, kWorkingBytes / (form.points() * group_floats * int64_t{sizeof(float)}));
  chunk_ = ceil_divide(groups_, ceil_divide(groups_, most));
  points_pitch_ = skewed(chunk_ * in_blocks_ * rows_ * kernels.lanes);
  sums_pitch_ = skewed(chunk_ * out_blocks_ * rows_ * kernels.lanes);
}

size_t WinogradConvolution::scratch_bytes() const {
  return static_cast<size_t>(form_.points() * (points_pitch_ + sums_pitch_)) * sizeof(float);
}

void WinogradConvolution::transform_windows(const float* x, float* points, int64_t group, int64_t slot,
                                            int64_t block) const {
  const Convolution& c = convolution_;
  WindowTransform t;
  t.height = c.in_height;
  t.width = c.in_width;
  t.pitch = points_pitch_;
  t.points = points + (slot * in_blocks_ + block) * rows_ * kernels_.lanes;
  for (int64_t r = 0; r < rows_; ++r, t.points += kernels_.lanes) {
    const auto tile = static_cast<size_t>(group * rows_ + r);
    if (tile >= places_.size()) return;  // what the product makes of these rows is never read
    const Place& place = places_[tile];
    t.map = x + (place.person * in_blocks_ + block) * c.in_height * c.in_width * kernels_.lanes;
    t.y = place.y - c.pad_top;
    t.x = place.x - c.pad_left;
    form_.window(t);
  }
}

void WinogradConvolution::multiply(const float* points, float* sums, int64_t point, int64_t vector_group,
                                   int64_t slots) const {
  const int64_t lanes = kernels_.lanes;
  const int64_t first = vector_group * kernels_.vectors;  // block of output channels
  const int64_t vectors = std::min<int64_t>(kernels_.vectors, out_blocks_ - first);
  Product p;
  p.blocks = in_blocks_;
  p.a_pitch = rows_ * lanes;
  p.weights = weights_ + (point * convolution_.out_channels + first * lanes) * convolution_.in_channels;
  p.c_pitch = chunk_ * rows_ * lanes;
  for (int64_t slot = 0; slot < slots; ++slot) {
    p.a = points + point * points_pitch_ + slot * in_blocks_ * rows_ * lanes;
    p.c = sums + point * sums_pitch_ + (first * chunk_ + slot) * rows_ * lanes;
    kernels_.product(p, static_cast<int>(rows_), static_cast<int>(vectors));
  }
}

void WinogradConvolution::transform_tiles(const float* sums, float* y, int64_t group, int64_t slot,
                                          int64_t block) const {
  const Convolution& c = convolution_;
  const int64_t lanes = kernels_.lanes;
  const int64_t width = c.step * c.out_width;
  TileTransform t;
  t.pitch = sums_pitch_;
  t.bias = bias_.data() + block * lanes;
  t.row_pitch = c.step * width * lanes;
  t.column_pitch = c.step * lanes;
  t.adds = c.adds;
  t.relu = c.relu;
  t.points = sums + (block * chunk_ + slot) * rows_ * lanes;
  for (int64_t r = 0; r < rows_; ++r, t.points += lanes) {
    const auto tile = static_cast<size_t>(group * rows_ + r);
    if (tile >= places_.size()) return;
    const Place& place = places_[tile];
    const int64_t row = (place.person * out_blocks_ + block) * c.step * c.out_height + c.first_row + c.step * place.y;
    t.map = y + (row * width + c.first_column + c.step * place.x) * lanes;
    t.rows = c.out_height - place.y;
    t.columns = c.out_width - place.x;
    form_.tile(t);
  }
}

void WinogradConvolution::run(const float* x, float* y, float* scratch) const {
  float* points = scratch;
  float* sums = scratch + form_.points() * points_pitch_;
  const int64_t vector_groups = ceil_divide(out_blocks_, kernels_.vectors);
#pragma omp parallel
  for (int64_t begin = 0; begin < groups_; begin += chunk_) {
    const int64_t slots = std::min(chunk_, groups_ - begin);
#pragma omp for collapse(2) schedule(static)
    for (int64_t slot = 0; slot < slots; ++slot) {
      for (int64_t block = 0; block < in_blocks_; ++block) transform_windows(x, points, begin + slot, slot, block);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t point = 0; point < form_.points(); ++point) {
      for (int64_t v = 0; v < vector_groups; ++v) multiply(points, sums, point, v, slots);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t block = 0; block < out_blocks_; ++block) {
      for (int64_t slot = 0; slot < slots; ++slot) transform_tiles(sums, y, begin + slot, slot, block);
    }
  }
}

}  // namespace posefix::runtime::cpu::blocked

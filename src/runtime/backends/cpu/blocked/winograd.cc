#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cpu_clones.h"
#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"

namespace posefix::runtime::cpu::blocked {
namespace {

constexpr double kFinitePoints[] = {0, 1, -1, 2, -2};

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Points and sums of the tiles at hand: more does not fit beside the weights in a core's share of the caches.
constexpr int64_t kWorkingBytes = int64_t{6} << 20;

// to[o] = sum over tap of factors[tap] * from[tap * pitch + o], for whole blocks of channels.
POSEFIX_CPU_CLONES("avx512f", "avx2")
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

// A pitch that maps the points of one tile to different sets of a cache: a line more.
int64_t skewed(int64_t values, int64_t value_bytes) { return values + 64 / value_bytes; }

// Finite; to nearest even.
uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

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
    if (form.taps != c.taps) continue;  // an empty one has none
    const int64_t tiles = ceil_divide(c.out_height, form.tile_height) * ceil_divide(c.out_width, form.tile_width);
    const int64_t cost = saves_memory ? form.points() : tiles * form.points();
    if (best != nullptr && cost >= least) continue;
    best = &form;
    least = cost;
  }
  return best;
}

// G w G^T: every point is a sum over the taps.
void pack_winograd(const Kernels& kernels, const Winograd& form, int64_t in, int64_t out, const float* weights,
                   void* packed) {
  const int height = form.window_height();
  const int width = form.window_width();
  const int taps = form.taps;
  std::vector<double> vertical(static_cast<size_t>(height * taps));
  std::vector<double> horizontal(static_cast<size_t>(width * taps));
  filter_factors(height, taps, vertical.data());
  filter_factors(width, taps, horizontal.data());
  std::vector<float> factors;  // [point][tap]
  factors.reserve(vertical.size() * horizontal.size());
  for (int point = 0; point < height * width; ++point) {
    for (int tap = 0; tap < taps * taps; ++tap) {
      const int row = point / width * taps + tap / taps;
      const int column = point % width * taps + tap % taps;
      factors.push_back(
          static_cast<float>(vertical[static_cast<size_t>(row)] * horizontal[static_cast<size_t>(column)]));
    }
  }
  constexpr int64_t kWidest = 64;
  const int64_t wide = int64_t{kernels.vectors} * kernels.lanes;
  PFX_CHECK(wide <= kWidest);
#pragma omp parallel for
  for (int64_t i = 0; i < in; ++i) {
    for (int point = 0; point < height * width; ++point) {
      const float* factor = factors.data() + point * taps * taps;
      for (int64_t first = 0; first < out; first += wide) {
        const int64_t count = std::min(wide, out - first);
        const float* from = weights + i * out + first;
        const int64_t group = (point * out + first) * in;
        if (kernels.value_bytes == 4) {
          weigh_taps(factor, taps * taps, from, in * out, count, static_cast<float*>(packed) + group + i * count);
          continue;
        }
        float sums[kWidest];
        weigh_taps(factor, taps * taps, from, in * out, count, sums);
        uint16_t* to = static_cast<uint16_t*>(packed) + group + i / 2 * 2 * count + i % 2;
        for (int64_t o = 0; o < count; ++o) to[2 * o] = to_bf16(sums[o]);
      }
    }
  }
}

WinogradConvolution::WinogradConvolution(const Kernels& kernels, const Winograd& form, const Convolution& convolution,
                                         const void* weights, const float* bias)
    : kernels_(kernels),
      form_(form),
      convolution_(convolution),
      weights_(static_cast<const std::byte*>(weights)),
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
  const int64_t group_bytes =
      rows_ * kernels.lanes * (in_blocks_ * kernels.value_bytes + out_blocks_ * int64_t{sizeof(float)});
  const int64_t most = std::max<int64_t>(1, kWorkingBytes / (form.points() * group_bytes));
  chunk_ = ceil_divide(groups_, ceil_divide(groups_, most));
  points_pitch_ = skewed(chunk_ * in_blocks_ * rows_ * kernels.lanes, kernels.value_bytes);
  sums_pitch_ = skewed(chunk_ * out_blocks_ * rows_ * kernels.lanes, sizeof(float));
}

size_t WinogradConvolution::scratch_bytes() const {
  return static_cast<size_t>(form_.points() *
                             (points_pitch_ * kernels_.value_bytes + sums_pitch_ * int64_t{sizeof(float)}));
}

int64_t WinogradConvolution::block_at(int64_t person, int64_t block, int64_t blocks, int64_t pixels) const {
  if (kernels_.value_bytes == 4) return (person * blocks + block) * pixels * kernels_.lanes;
  return (person * pixels * blocks + block) * kernels_.lanes;
}

int64_t WinogradConvolution::pixel_pitch(int64_t blocks) const {
  return kernels_.value_bytes == 4 ? kernels_.lanes : blocks * kernels_.lanes;
}

void WinogradConvolution::transform_windows(const std::byte* x, std::byte* points, int64_t group, int64_t slot,
                                            int64_t block) const {
  const Convolution& c = convolution_;
  WindowTransform t;
  t.height = c.in_height;
  t.width = c.in_width;
  t.pitch = points_pitch_;
  t.pixel_pitch = pixel_pitch(in_blocks_);
  const int64_t first = (slot * in_blocks_ + block) * rows_ * kernels_.lanes;
  for (int64_t r = 0; r < rows_; ++r) {
    const auto tile = static_cast<size_t>(group * rows_ + r);
    if (tile >= places_.size()) return;  // what the product makes of these rows is never read
    const Place& place = places_[tile];
    t.points = points + (first + r * kernels_.lanes) * kernels_.value_bytes;
    t.map = x + block_at(place.person, block, in_blocks_, c.in_height * c.in_width) * kernels_.value_bytes;
    t.y = place.y - c.pad_top;
    t.x = place.x - c.pad_left;
    form_.window(t);
  }
}

void WinogradConvolution::multiply(const std::byte* points, float* sums, int64_t point, int64_t vector_group,
                                   int64_t slots) const {
  const int64_t lanes = kernels_.lanes;
  const int64_t first = vector_group * kernels_.vectors;  // block of output channels
  const int64_t vectors = std::min<int64_t>(kernels_.vectors, out_blocks_ - first);
  Product p;
  p.blocks = in_blocks_;
  p.a_pitch = rows_ * lanes;
  p.weights =
      weights_ + (point * convolution_.out_channels + first * lanes) * convolution_.in_channels * kernels_.value_bytes;
  p.c_pitch = chunk_ * rows_ * lanes;
  for (int64_t slot = 0; slot < slots; ++slot) {
    p.a = points + (point * points_pitch_ + slot * in_blocks_ * rows_ * lanes) * kernels_.value_bytes;
    p.c = sums + point * sums_pitch_ + (first * chunk_ + slot) * rows_ * lanes;
    kernels_.product(p, static_cast<int>(rows_), static_cast<int>(vectors));
  }
}

void WinogradConvolution::transform_tiles(const float* sums, std::byte* y, int64_t group, int64_t slot,
                                          int64_t block) const {
  const Convolution& c = convolution_;
  const int64_t lanes = kernels_.lanes;
  const int64_t width = c.step * c.out_width;
  TileTransform t;
  t.pitch = sums_pitch_;
  t.bias = bias_.data() + block * lanes;
  const int64_t pitch = pixel_pitch(out_blocks_);
  t.row_pitch = c.step * width * pitch;
  t.column_pitch = c.step * pitch;
  t.adds = c.adds;
  t.relu = c.relu;
  t.points = sums + (block * chunk_ + slot) * rows_ * lanes;
  for (int64_t r = 0; r < rows_; ++r, t.points += lanes) {
    const auto tile = static_cast<size_t>(group * rows_ + r);
    if (tile >= places_.size()) return;
    const Place& place = places_[tile];
    const int64_t first = block_at(place.person, block, out_blocks_, c.step * c.out_height * width);
    const int64_t pixel = (c.first_row + c.step * place.y) * width + c.first_column + c.step * place.x;
    t.map = y + (first + pixel * pitch) * kernels_.value_bytes;
    t.rows = c.out_height - place.y;
    t.columns = c.out_width - place.x;
    form_.tile(t);
  }
}

void WinogradConvolution::run(const void* x, void* y, std::byte* scratch) const {
  const auto* from = static_cast<const std::byte*>(x);
  auto* to = static_cast<std::byte*>(y);
  std::byte* points = scratch;
  auto* sums = reinterpret_cast<float*>(scratch + form_.points() * points_pitch_ * kernels_.value_bytes);
  const int64_t vector_groups = ceil_divide(out_blocks_, kernels_.vectors);
#pragma omp parallel
  for (int64_t begin = 0; begin < groups_; begin += chunk_) {
    const int64_t slots = std::min(chunk_, groups_ - begin);
#pragma omp for collapse(2) schedule(static)
    for (int64_t slot = 0; slot < slots; ++slot) {
      for (int64_t block = 0; block < in_blocks_; ++block) transform_windows(from, points, begin + slot, slot, block);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t point = 0; point < form_.points(); ++point) {
      for (int64_t v = 0; v < vector_groups; ++v) multiply(points, sums, point, v, slots);
    }
#pragma omp for collapse(2) schedule(static)
    for (int64_t block = 0; block < out_blocks_; ++block) {
      for (int64_t slot = 0; slot < slots; ++slot) transform_tiles(sums, to, begin + slot, slot, block);
    }
  }
}

}  // namespace posefix::runtime::cpu::blocked

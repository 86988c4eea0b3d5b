#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/cpu_clones.h"
#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"

namespace posefix::runtime::cpu::blocked {
namespace {

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Points and sums of the tiles at hand: more does not fit beside the weights in a core's share of the caches.
constexpr int64_t kWorkingBytes = int64_t{6} << 20;

// A tap of the filter and what it weighs in a product.
struct WeighedTap {
  int64_t tap;
  float factor;
};

// to[o] = sum of factor * from[tap * pitch + o], for whole blocks of channels.
POSEFIX_CPU_CLONES("avx512f", "avx2")
void weigh_taps(const WeighedTap* taps, size_t tap_count, const float* from, int64_t pitch, int64_t count, float* to) {
  constexpr int64_t kTogether = 8;  // divides every block
  for (int64_t o = 0; o < count; o += kTogether) {
    float sums[kTogether] = {};
    for (size_t t = 0; t < tap_count; ++t) {
      const float* weights = from + taps[t].tap * pitch + o;
      for (int64_t k = 0; k < kTogether; ++k) sums[k] += taps[t].factor * weights[k];
    }
    for (int64_t k = 0; k < kTogether; ++k) to[o + k] = sums[k];
  }
}

std::vector<PointWeights> weights_of_points(const Winograd& form, int64_t stride) {
  std::vector<PointWeights> result;
  int64_t begin = 0;
  for (int row = 0; row < form.window_height(); ++row) {
    for (int column = 0; column < form.window_width(); ++column) {
      const bool is_infinite_row = row == form.window_height() - 1;
      const bool is_infinite_column = column == form.window_width() - 1;
      const ParityRange range = stride == 1 ? ParityRange{0, 1} : parities_at(is_infinite_row, is_infinite_column);
      result.push_back({range, begin});
      begin += range.count();
    }
  }
  return result;
}

// The taps of a filter along one axis that a product weighs, as the form's taps 0, 1, ...
struct AxisTaps {
  int count;
  int first, step;  // where they are in the filter
};

AxisTaps axis_taps(const Winograd& form, int64_t stride, bool has_two) {
  if (stride == 1) return {form.taps, 0, 1};
  return has_two ? AxisTaps{2, 0, 2} : AxisTaps{1, 1, 1};
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

int64_t form_taps(int64_t taps, int64_t stride) {
  if (stride == 1) return taps;
  return stride == 2 && taps == 3 ? 2 : 0;
}

int64_t products(const Winograd& form, int64_t stride) { return stride == 1 ? form.points() : form.strided_products(); }

const Winograd* choose_form(const Kernels& kernels, const Convolution& c, bool saves_memory) {
  const int64_t wanted = form_taps(c.taps, c.stride);
  if (wanted == 0) return nullptr;
  const Winograd* best = nullptr;
  int64_t least = 0;
  for (const Winograd& form : kernels.winograd) {
    if (form.taps != wanted) continue;
    const int64_t tiles = ceil_divide(c.out_height, form.tile_height) * ceil_divide(c.out_width, form.tile_width);
    const int64_t per_tile = products(form, c.stride);
    const int64_t cost = saves_memory ? per_tile : tiles * per_tile;
    if (best != nullptr && cost >= least) continue;
    best = &form;
    least = cost;
  }
  return best;
}

// G w G^T: every product is a sum over taps.
void pack_winograd(const Kernels& kernels, const Winograd& form, int64_t stride, int64_t in, int64_t out,
                   const float* weights, void* packed) {
  const int height = form.window_height();
  const int width = form.window_width();
  std::vector<double> vertical(static_cast<size_t>(height * form.taps));
  std::vector<double> horizontal(static_cast<size_t>(width * form.taps));
  kernels::filter_factors(height, form.taps, vertical.data());
  kernels::filter_factors(width, form.taps, horizontal.data());
  const int64_t filter_width = stride == 1 ? form.taps : 3;
  struct Panel {
    std::vector<WeighedTap> taps;
    int64_t begin;   // value of the point's first
    int64_t depth;   // input channels of the point's product
    int64_t before;  // of them, those of other parities that come first
  };
  std::vector<Panel> panels;
  const std::vector<PointWeights> points = weights_of_points(form, stride);
  for (size_t point = 0; point < points.size(); ++point) {
    const ParityRange range = points[point].parities;
    const double* rows = vertical.data() + static_cast<int>(point) / width * form.taps;
    const double* columns = horizontal.data() + static_cast<int>(point) % width * form.taps;
    for (int parity = range.first; parity < range.last; ++parity) {
      const AxisTaps down = axis_taps(form, stride, kParities[parity].has_two_row_taps);
      const AxisTaps across = axis_taps(form, stride, kParities[parity].has_two_column_taps);
      Panel panel{{}, points[point].begin * in * out, range.count() * in, (parity - range.first) * in};
      for (int i = 0; i < down.count; ++i) {
        for (int j = 0; j < across.count; ++j) {
          const int64_t tap = (down.first + i * down.step) * filter_width + across.first + j * across.step;
          panel.taps.push_back({tap, static_cast<float>(rows[i] * columns[j])});
        }
      }
      panels.push_back(std::move(panel));
    }
  }
  constexpr int64_t kWidest = 64;
  const int64_t wide = int64_t{kernels.vectors} * kernels.lanes;
  PFX_CHECK(wide <= kWidest);
#pragma omp parallel for
  for (int64_t i = 0; i < in; ++i) {
    for (const Panel& panel : panels) {
      const int64_t row = panel.before + i;
      for (int64_t first = 0; first < out; first += wide) {
        const int64_t count = std::min(wide, out - first);
        const float* from = weights + i * out + first;
        const int64_t group = panel.begin + first * panel.depth;
        if (kernels.value_bytes == 4) {
          weigh_taps(panel.taps.data(), panel.taps.size(), from, in * out, count,
                     static_cast<float*>(packed) + group + row * count);
          continue;
        }
        float sums[kWidest];
        weigh_taps(panel.taps.data(), panel.taps.size(), from, in * out, count, sums);
        uint16_t* to = static_cast<uint16_t*>(packed) + group + row / 2 * 2 * count + row % 2;
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
      out_blocks_(convolution.out_channels / kernels.lanes),
      window_blocks_(convolution.stride == 1 ? in_blocks_ : kParityCount * in_blocks_),
      at_point_(weights_of_points(form, convolution.stride)) {
  const Convolution& c = convolution_;
  PFX_CHECK(c.in_channels % kernels.lanes == 0 && c.out_channels % kernels.lanes == 0);
  PFX_CHECK(form_taps(c.taps, c.stride) == form.taps);
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
      rows_ * kernels.lanes * (window_blocks_ * kernels.value_bytes + out_blocks_ * int64_t{sizeof(float)});
  const int64_t most = std::max<int64_t>(1, kWorkingBytes / (form.points() * group_bytes));
  chunk_ = ceil_divide(groups_, ceil_divide(groups_, most));
  points_pitch_ = skewed(chunk_ * window_blocks_ * rows_ * kernels.lanes, kernels.value_bytes);
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
  t.step = c.stride;
  const Parity parity = kParities[block / in_blocks_];
  // With stride 2 the pixels that meet the middle tap alone are those after the first tap's.
  const int64_t skipped_rows = c.stride == 2 && !parity.has_two_row_taps ? 1 : 0;
  const int64_t skipped_columns = c.stride == 2 && !parity.has_two_column_taps ? 1 : 0;
  const int64_t first = (slot * window_blocks_ + block) * rows_ * kernels_.lanes;
  for (int64_t r = 0; r < rows_; ++r) {
    const auto tile = static_cast<size_t>(group * rows_ + r);
    if (tile >= places_.size()) return;  // what the product makes of these rows is never read
    const Place& place = places_[tile];
    t.points = points + (first + r * kernels_.lanes) * kernels_.value_bytes;
    t.map = x + block_at(place.person, block % in_blocks_, in_blocks_, c.in_height * c.in_width) * kernels_.value_bytes;
    t.y = c.stride * place.y - c.pad_top + skipped_rows;
    t.x = c.stride * place.x - c.pad_left + skipped_columns;
    form_.window(t);
  }
}

void WinogradConvolution::multiply(const std::byte* points, float* sums, int64_t point, int64_t vector_group,
                                   int64_t slots) const {
  const int64_t lanes = kernels_.lanes;
  const int64_t first = vector_group * kernels_.vectors;  // block of output channels
  const int64_t vectors = std::min<int64_t>(kernels_.vectors, out_blocks_ - first);
  const PointWeights& at = at_point_[static_cast<size_t>(point)];
  const int64_t before = at.parities.first * in_blocks_;  // blocks of parities that do not count here
  Product p;
  p.blocks = at.parities.count() * in_blocks_;
  p.a_pitch = rows_ * lanes;
  p.weights = weights_ + (at.begin * convolution_.out_channels + at.parities.count() * first * lanes) *
                             convolution_.in_channels * kernels_.value_bytes;
  p.c_pitch = chunk_ * rows_ * lanes;
  for (int64_t slot = 0; slot < slots; ++slot) {
    p.a = points + (point * points_pitch_ + (slot * window_blocks_ + before) * rows_ * lanes) * kernels_.value_bytes;
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
      for (int64_t block = 0; block < window_blocks_; ++block) {
        transform_windows(from, points, begin + slot, slot, block);
      }
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

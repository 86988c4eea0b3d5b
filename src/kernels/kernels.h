// Inner loops of convolutions on the CPU for blocks of channels, once per instruction set: products of panels and
// Winograd's transforms, and what their gradients take.
//
// A block is `lanes` channels wide. Values of maps, points and weights are f32, or bf16 (rounded to nearest even) with
// sums in f32; pitches count values. Each instruction set is one file around the same templates (body.inc), compiled
// with that set's options; nobody may call into one that the CPU lacks. No threads and no allocation in here.
#pragma once

#include <cstdint>

namespace posefix::kernels {

// bf16: weights are [blocks * lanes / 2][vectors * lanes][2].
// c[v][r] = bias[v] (+ c[v][r]) + sum over blocks, k of a[block][r][k] * weights[block][k][v], then max(0, .).
// r: up to `rows` rows of `lanes` values each, v: up to `vectors` vectors of output channels.
struct Product {
  const void* a = nullptr;
  int64_t a_pitch = 0;  // from block to block
  int64_t blocks = 0;
  const void* weights = nullptr;  // [blocks * lanes][vectors * lanes]
  const float* bias = nullptr;    // [vectors * lanes], or null
  float* c = nullptr;
  int64_t c_pitch = 0;  // from vector to vector
  bool adds = false;
  bool relu = false;
};

// A window of one block of a map -> points of it, `pitch` apart. Outside the map lie zeros.
struct WindowTransform {
  const void* map = nullptr;  // of the block
  int64_t height = 0, width = 0;
  int64_t pixel_pitch = 0;
  int64_t y = 0, x = 0;  // the window's first pixel, maybe outside
  int64_t step = 1;      // from pixel to pixel of the window
  void* points = nullptr;
  int64_t pitch = 0;
};

// Points -> rows x columns pixels of one block of the result.
struct TileTransform {
  const float* points = nullptr;
  int64_t pitch = 0;
  const float* bias = nullptr;  // [lanes]
  void* map = nullptr;          // of the block, at the tile's first pixel
  int64_t row_pitch = 0, column_pitch = 0;
  int64_t rows = 0, columns = 0;  // of the tile that lie within the result
  bool adds = false;
  bool relu = false;
};

// c[k][v] (+)= sum over t < count of a[t][k] * b[v][t]: the gradient of Product's weights. k: `lanes` rows of a block,
// v: up to `vectors` vectors of output channels. Sums go on from what c holds, so that parts of `count` give the bits
// of the whole.
struct ColumnProduct {
  const float* a = nullptr;  // [count][lanes]
  const float* b = nullptr;  // [vectors][count][lanes], b_pitch from vector to vector
  int64_t b_pitch = 0;
  int64_t count = 0;
  float* c = nullptr;  // [lanes][vectors * lanes]
  bool adds = false;
};

// Gradient of TileTransform: rows x columns pixels of one block -> its points. Outside lie zeros.
struct TileSpread {
  const void* map = nullptr;  // of the block, at the tile's first pixel
  int64_t row_pitch = 0, column_pitch = 0;
  int64_t rows = 0, columns = 0;
  float* points = nullptr;
  int64_t pitch = 0;
};

// A filter's taps [taps][taps][lanes] -> its points, `pitch` apart, and the gradient of that: points -> taps.
struct FilterTransform {
  const float* taps = nullptr;
  float* points = nullptr;
  int64_t pitch = 0;
};
struct FilterGradient {
  const float* points = nullptr;
  int64_t pitch = 0;
  float* taps = nullptr;
};

// Winograd's minimal filtering F(height x width, taps x taps): a window of (height + taps - 1) x (width + taps - 1)
// pixels gives a tile of height x width results with one product per pixel of the window.
struct Winograd {
  int taps = 0;
  int tile_height = 0, tile_width = 0;
  void (*window)(const WindowTransform&) = nullptr;
  void (*tile)(const TileTransform&) = nullptr;
  // Of training, f32 alone.
  void (*spread)(const TileSpread&) = nullptr;
  void (*filter)(const FilterTransform&) = nullptr;
  void (*filter_gradient)(const FilterGradient&) = nullptr;
  // Likewise, for maps in bf16: the points and all that is computed stay f32.
  void (*bf16_window)(const WindowTransform&) = nullptr;
  void (*bf16_tile)(const TileTransform&) = nullptr;
  void (*bf16_spread)(const TileSpread&) = nullptr;
  int window_height() const { return tile_height + taps - 1; }
  int window_width() const { return tile_width + taps - 1; }
  int points() const { return window_height() * window_width(); }
  // Of 3x3 filters with stride 2, see runtime/backends/cpu/blocked/strided.h.
  int strided_products() const { return (2 * window_height() - 1) * (2 * window_width() - 1); }
};

inline constexpr int kWinogradForms = 5;

struct Kernels {
  const char* name = "";
  int value_bytes = 4;  // 2: bf16
  int lanes = 0;
  int rows = 0;     // of a product, at most
  int vectors = 0;  //
  void (*product)(const Product&, int rows, int vectors) = nullptr;
  void (*column_product)(const ColumnProduct&, int vectors) = nullptr;  // f32 alone
  Winograd winograd[kWinogradForms];                                    // the last may be empty: no taps
};

const Kernels& avx512_kernels();       // lanes 16; avx512f
const Kernels& avx512_bf16_kernels();  // bf16; avx512bf16
const Kernels& avx2_kernels();         // lanes 8; avx2 and fma
const Kernels& portable_kernels();     // lanes 8; whatever the build is for
const Kernels& widest_kernels();       // of f32, that run on this CPU

// The transformed filter's factors [window][taps] for a window of so many points, row-major.
void filter_factors(int window, int taps, double* factors);

}  // namespace posefix::kernels

// Convolutions: 3x3 with stride 1 or 2 and 2x2 by Winograd's minimal filtering, 1x1 as products (f32 in blocks alone).
// One object per convolution and batch size; it borrows its weights.
//
// Invariants: channels are whole blocks of kernels.lanes. f32 maps lie in blocks (nChw8c, nChw16c), bf16 maps in nhwc.
// A result's value does not depend on the number of threads.
// run() does not allocate. Non-goals: other strides, groups, dilation.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/kernels.h"
#include "runtime/backends/cpu/blocked/strided.h"

namespace posefix::runtime::cpu::blocked {

using kernels::Kernels;
using kernels::Product;
using kernels::TileTransform;
using kernels::WindowTransform;
using kernels::Winograd;

// What a point's product adds up.
struct PointWeights {
  ParityRange parities;  // of the input's pixels; with stride 1 there is one
  int64_t begin;         // products of the points before it
};

struct Convolution {
  int64_t batch = 1;
  int64_t in_channels = 0, out_channels = 0;
  int64_t in_height = 0, in_width = 0;
  int64_t out_height = 0, out_width = 0;  // results per person
  int64_t taps = 1;                       // rows and columns of the filter
  int64_t stride = 1;                     // 2: of three taps alone
  int64_t pad_top = 0, pad_left = 0;      // the other sides' follow from the sizes
  // Result (i, j) goes to pixel (first_row + step * i, first_column + step * j) of a map of step * out_height rows and
  // step * out_width columns: step 2 interleaves the four phases of a transposed convolution.
  int64_t step = 1, first_row = 0, first_column = 0;
  bool adds = false;  // to what the map holds
  bool relu = false;
};

// The fastest that runs on this CPU for maps in blocks of so many channels (8 or 16).
const Kernels& kernels_for(int64_t lanes);
// Null where there is no bf16 arithmetic, or AMX, whose direct convolutions (oneDNN's) are faster.
const Kernels* kernels_for_bf16();

// Taps that a form must have for such a filter: with stride 2 (strided.h) two instead of three. 0: no form can do it.
int64_t form_taps(int64_t taps, int64_t stride);
// Of one tile, for every input and output channel.
int64_t products(const Winograd& form, int64_t stride);

// The form that needs the fewest products; `saves_memory` prefers small windows, whose weights are smaller. Null if no
// form has so many taps.
const Winograd* choose_form(const Kernels& kernels, const Convolution& convolution, bool saves_memory);

// Weights [kh,kw,in,out] -> [point][group of vectors] as Product wants them; products(form, stride) * in * out values.
void pack_winograd(const Kernels& kernels, const Winograd& form, int64_t stride, int64_t in, int64_t out,
                   const float* weights, void* packed);
// Weights [in,out] -> [group of vectors] as Product wants them, f32.
void pack_pointwise(const Kernels& kernels, int64_t in, int64_t out, const float* weights, float* packed);

class WinogradConvolution {
 public:
  // bias: [out_channels] or null.
  WinogradConvolution(const Kernels& kernels, const Winograd& form, const Convolution& convolution, const void* weights,
                      const float* bias);
  size_t scratch_bytes() const;  // aligned to 64
  void run(const void* x, void* y, std::byte* scratch) const;

 private:
  struct Place {
    int64_t person, y, x;  // the tile's first result
  };
  void transform_windows(const std::byte* x, std::byte* points, int64_t group, int64_t slot, int64_t block) const;
  void multiply(const std::byte* points, float* sums, int64_t point, int64_t vector_group, int64_t slots) const;
  void transform_tiles(const float* sums, std::byte* y, int64_t group, int64_t slot, int64_t block) const;
  // Of a map: first value of a block, and from pixel to pixel.
  int64_t block_at(int64_t person, int64_t block, int64_t blocks, int64_t pixels) const;
  int64_t pixel_pitch(int64_t blocks) const;

  const Kernels& kernels_;
  const Winograd& form_;
  Convolution convolution_;
  const std::byte* weights_;
  std::vector<float> bias_;
  std::vector<Place> places_;  // of all tiles of the batch
  int64_t in_blocks_, out_blocks_;
  int64_t window_blocks_;               // in_blocks_ of every parity
  std::vector<PointWeights> at_point_;  // [points]
  int64_t rows_ = 0;                    // tiles of a group: the rows of a product
  int64_t groups_ = 0;                  // of tiles
  int64_t chunk_ = 0;                   // groups at a time, so that points and sums stay in a cache
  int64_t points_pitch_ = 0;            // from point to point
  int64_t sums_pitch_ = 0;              //
};

class PointwiseConvolution {
 public:
  PointwiseConvolution(const Kernels& kernels, const Convolution& convolution, const float* weights, const float* bias);
  void run(const float* x, float* y) const;

 private:
  const Kernels& kernels_;
  Convolution convolution_;
  const float* weights_;
  const float* bias_;
  int64_t in_blocks_, out_blocks_;
  int64_t chunk_ = 0;  // pixels at a time
};

}  // namespace posefix::runtime::cpu::blocked

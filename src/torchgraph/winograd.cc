#include "torchgraph/winograd.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "kernels/kernels.h"
#include "torchgraph/bf16_instructions.h"

namespace posefix::torchgraph {
namespace {

namespace autograd = torch::autograd;
using kernels::Kernels;
using kernels::Winograd;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;
constexpr int64_t kTile = 4;

// Fewer channels spend their time in the tiles' transforms, and fewer tiles of a sample in the filters'.
constexpr int64_t kFewestChannels = 32;
constexpr int64_t kFewestTiles = 12;
constexpr int64_t kFewestTilesOfSmallFilters = 4;
constexpr int64_t kSmallFilter = 1 << 16;  // input times output channels

// Points and sums of the tiles at hand: a thread's share of the caches.
constexpr int64_t kWorkingBytes = int64_t{2} << 20;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

const Winograd& form_of(const Kernels& kernels, int taps) {
  const auto* form = std::find_if(std::begin(kernels.winograd), std::end(kernels.winograd), [&](const Winograd& f) {
    return f.taps == taps && f.tile_height == kTile && f.tile_width == kTile;
  });
  PFX_CHECK(form != std::end(kernels.winograd));
  return *form;
}

// [rows][columns] -> [columns][rows], a matrix for each image. By way of a block, so that every line of memory is read
// and written once: rows often lie a multiple of the cache's way apart.
template <typename Value>
void transpose(const Value* from, int64_t images, int64_t rows, int64_t columns, Value* to) {
  constexpr int64_t kBlock = 16;
  const int64_t strips = ceil_divide(rows, kBlock);
  at::parallel_for(0, images * strips, 1, [&](int64_t begin, int64_t end) {
    Value block[kBlock][kBlock];
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t row = strip % strips * kBlock;
      const int64_t height = std::min(kBlock, rows - row);
      const Value* image = from + (strip / strips * rows + row) * columns;
      Value* result = to + strip / strips * rows * columns + row;
      for (int64_t column = 0; column < columns; column += kBlock) {
        const int64_t width = std::min(kBlock, columns - column);
        for (int64_t r = 0; r < height; ++r) {
          const Value* line = image + r * columns + column;
          if (width == kBlock) {
            std::memcpy(block[r], line, sizeof block[r]);  // of a known size: no call
          } else {
            std::copy_n(line, width, block[r]);
          }
        }
        for (int64_t c = 0; c < width; ++c) {
          for (int64_t r = 0; r < height; ++r) result[(column + c) * rows + r] = block[r][c];
        }
      }
    }
  });
}

// The values of f32 or bf16 tensors, for what moves them alone.
void transpose(const at::Tensor& from, int64_t images, int64_t rows, int64_t columns, const at::Tensor& to) {
  if (from.scalar_type() == at::kFloat) {
    transpose(from.data_ptr<float>(), images, rows, columns, to.data_ptr<float>());
  } else {
    transpose(from.data_ptr<at::BFloat16>(), images, rows, columns, to.data_ptr<at::BFloat16>());
  }
}

at::Tensor in_nhwc(const at::Tensor& x) {
  if (x.is_contiguous(kChannelsLast)) return x;
  at::Tensor result = at::empty(x.sizes(), x.options(), kChannelsLast);
  transpose(x.contiguous(), x.size(0), x.size(1), x.size(2) * x.size(3), result);
  return result;
}

// In x's order of memory.
at::Tensor in_order_of(const at::Tensor& x, const at::Tensor& nhwc) {
  if (x.is_contiguous(kChannelsLast)) return nhwc;
  at::Tensor result = at::empty(nhwc.sizes(), nhwc.options());
  transpose(nhwc, nhwc.size(0), nhwc.size(2) * nhwc.size(3), nhwc.size(1), result);
  return result;
}

// The pixels (row + step * i, column + step * j) of maps in NHWC order: step 2 for a phase of a transposed
// convolution's result.
struct Grid {
  std::byte* data = nullptr;
  int64_t value_bytes = 0;                      // 4: f32, 2: bf16
  int64_t height = 0, width = 0, channels = 0;  // of the whole maps
  int64_t step = 1, row = 0, column = 0;

  bool is_bf16() const { return value_bytes == 2; }
  std::byte* map(int64_t image) const { return data + image * height * width * channels * value_bytes; }
  std::byte* pixel(int64_t image, int64_t i, int64_t j) const {
    return map(image) + ((row + step * i) * width + column + step * j) * channels * value_bytes;
  }
};

Grid grid_of(const at::Tensor& nhwc) {
  Grid grid;
  grid.data = static_cast<std::byte*>(nhwc.data_ptr());
  grid.value_bytes = static_cast<int64_t>(nhwc.element_size());
  grid.height = nhwc.size(2);
  grid.width = nhwc.size(3);
  grid.channels = nhwc.size(1);
  return grid;
}

Grid phase_of(const at::Tensor& nhwc, int64_t row, int64_t column) {
  Grid grid = grid_of(nhwc);
  grid.step = 2;
  grid.row = row;
  grid.column = column;
  return grid;
}

// A filter's taps in memory; strides may be negative.
struct Taps {
  float* data = nullptr;
  int64_t in = 0, out = 0, row = 0, column = 0;  // strides
};

// A filter reads `from` at (i + origin_row, j + origin_column) and further to give (i, j).
struct Term {
  Grid from;
  int64_t origin_row = 0, origin_column = 0;
  Taps taps;
};

// Convolves tiles of a batch of maps, height x width pixels each.
class Tiles {
 public:
  Tiles(int taps, int64_t images, int64_t height, int64_t width, int64_t in, int64_t out)
      : kernels_(kernels::widest_kernels()),
        form_(form_of(kernels_, taps)),
        height_(height),
        width_(width),
        across_(ceil_divide(width, kTile)),
        a_image_(across_ * ceil_divide(height, kTile)),
        count_(images * a_image_),
        in_(in),
        out_(out),
        groups_(ceil_divide(out, group_width())) {
    const int64_t bytes = form_.points() * (in + out) * static_cast<int64_t>(sizeof(float));
    const int64_t rows = std::max<int64_t>(8, kWorkingBytes / bytes / kernels_.rows) * kernels_.rows;
    chunk_ = std::min(count_, rows * at::get_num_threads());
    // A line more: the points of a tile lie in different sets of a cache.
    in_pitch_ = chunk_ * in + kLine;
    out_pitch_ = chunk_ * out + kLine;
    filter_pitch_ = in * out + kLine;
  }

  // to = the sum of the terms.
  void convolve(const std::vector<Term>& terms, const Grid& to) const {
    const at::Tensor points = buffer(in_pitch_);
    const at::Tensor sums = buffer(out_pitch_);
    std::vector<at::Tensor> filters;
    for (const Term& term : terms) filters.push_back(transform_filter(term.taps));
    for (int64_t begin = 0; begin < count_; begin += chunk_) {
      const int64_t count = std::min(chunk_, count_ - begin);
      for (size_t i = 0; i < terms.size(); ++i) {
        transform_windows(terms[i], begin, count, points.data_ptr<float>());
        multiply(points.data_ptr<float>(), filters[i].data_ptr<float>(), count, i > 0, sums.data_ptr<float>());
      }
      transform_tiles(sums.data_ptr<float>(), begin, count, to);
    }
  }

  // term.taps = the gradient of the filter where `gradient` is that of the result.
  void filter_gradient(const Term& term, const Grid& gradient) const {
    const at::Tensor points = buffer(in_pitch_);
    const at::Tensor spread = buffer(out_pitch_);
    const at::Tensor sums = buffer(filter_pitch_);
    for (int64_t begin = 0; begin < count_; begin += chunk_) {
      const int64_t count = std::min(chunk_, count_ - begin);
      transform_windows(term, begin, count, points.data_ptr<float>());
      spread_tiles(gradient, begin, count, spread.data_ptr<float>());
      multiply_columns(points.data_ptr<float>(), spread.data_ptr<float>(), count, begin > 0, sums.data_ptr<float>());
    }
    transform_filter_gradient(sums.data_ptr<float>(), term.taps);
  }

 private:
  static constexpr int64_t kLine = 16;
  static constexpr int64_t kMostLanes = 16;
  static constexpr int64_t kMostTaps = 9;
  static constexpr int64_t kMostVectors = 4;

  int64_t lanes() const { return kernels_.lanes; }
  int64_t group_width() const { return int64_t{kernels_.vectors} * kernels_.lanes; }
  at::Tensor buffer(int64_t pitch) const { return at::empty({form_.points() * pitch}, at::kFloat); }

  // Calls body(slot, image, row, column of its first pixel) for tiles begin .. begin + count, slots from 0.
  template <typename Body>
  void for_tiles(int64_t begin, int64_t count, const Body& body) const {
    at::parallel_for(0, count, 1, [&](int64_t first, int64_t last) {
      for (int64_t slot = first; slot < last; ++slot) {
        const int64_t tile = (begin + slot) % a_image_;
        body(slot, (begin + slot) / a_image_, tile / across_ * kTile, tile % across_ * kTile);
      }
    });
  }

  // -> points [point][block][count][lanes]
  void transform_windows(const Term& term, int64_t begin, int64_t count, float* points) const {
    const Grid& from = term.from;
    for_tiles(begin, count, [&](int64_t slot, int64_t image, int64_t row, int64_t column) {
      kernels::WindowTransform t;
      t.height = from.height;
      t.width = from.width;
      t.pixel_pitch = from.channels;
      t.y = from.row + from.step * (row + term.origin_row);
      t.x = from.column + from.step * (column + term.origin_column);
      t.step = from.step;
      t.pitch = in_pitch_;
      const std::byte* map = from.map(image);
      const auto window = from.is_bf16() ? form_.bf16_window : form_.window;
      for (int64_t block = 0; block < in_ / lanes(); ++block) {
        t.map = map + block * lanes() * from.value_bytes;
        t.points = points + (block * count + slot) * lanes();
        window(t);
      }
    });
  }

  // sums [point][block][count][lanes] -> to
  void transform_tiles(const float* sums, int64_t begin, int64_t count, const Grid& to) const {
    constexpr float kNoBias[kMostLanes] = {};
    for_tiles(begin, count, [&](int64_t slot, int64_t image, int64_t row, int64_t column) {
      kernels::TileTransform t;
      t.pitch = out_pitch_;
      t.bias = kNoBias;
      t.row_pitch = to.step * to.width * to.channels;
      t.column_pitch = to.step * to.channels;
      t.rows = height_ - row;
      t.columns = width_ - column;
      const auto tile = to.is_bf16() ? form_.bf16_tile : form_.tile;
      for (int64_t block = 0; block < out_ / lanes(); ++block) {
        t.points = sums + (block * count + slot) * lanes();
        t.map = to.pixel(image, row, column) + block * lanes() * to.value_bytes;
        tile(t);
      }
    });
  }

  void spread_tiles(const Grid& gradient, int64_t begin, int64_t count, float* points) const {
    for_tiles(begin, count, [&](int64_t slot, int64_t image, int64_t row, int64_t column) {
      kernels::TileSpread t;
      t.pitch = out_pitch_;
      t.row_pitch = gradient.step * gradient.width * gradient.channels;
      t.column_pitch = gradient.step * gradient.channels;
      t.rows = height_ - row;
      t.columns = width_ - column;
      const auto spread = gradient.is_bf16() ? form_.bf16_spread : form_.spread;
      for (int64_t block = 0; block < out_ / lanes(); ++block) {
        t.map = gradient.pixel(image, row, column) + block * lanes() * gradient.value_bytes;
        t.points = points + (block * count + slot) * lanes();
        spread(t);
      }
    });
  }

  // Calls body(point, first output channel, number of vectors) for every group of vectors at every point.
  template <typename Body>
  void for_panels(const Body& body) const {
    at::parallel_for(0, form_.points() * groups_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i % groups_ * group_width();
        body(i / groups_, first, std::min(group_width(), out_ - first) / lanes());
      }
    });
  }

  void multiply(const float* points, const float* filter, int64_t count, bool adds, float* sums) const {
    for_panels([&](int64_t point, int64_t first, int64_t vectors) {
      kernels::Product p;
      p.a_pitch = count * lanes();
      p.blocks = in_ / lanes();
      p.weights = filter + point * filter_pitch_ + first * in_;
      p.c_pitch = count * lanes();
      p.adds = adds;
      for (int64_t slot = 0; slot < count; slot += kernels_.rows) {
        p.a = points + point * in_pitch_ + slot * lanes();
        p.c = sums + point * out_pitch_ + first * count + slot * lanes();
        kernels_.product(p, static_cast<int>(std::min<int64_t>(kernels_.rows, count - slot)),
                         static_cast<int>(vectors));
      }
    });
  }

  void multiply_columns(const float* points, const float* spread, int64_t count, bool adds, float* sums) const {
    for_panels([&](int64_t point, int64_t first, int64_t vectors) {
      kernels::ColumnProduct p;
      p.b = spread + point * out_pitch_ + first * count;
      p.b_pitch = count * lanes();
      p.count = count;
      p.adds = adds;
      for (int64_t block = 0; block < in_ / lanes(); ++block) {
        p.a = points + point * in_pitch_ + block * count * lanes();
        p.c = sums + point * filter_pitch_ + first * in_ + block * lanes() * vectors * lanes();
        kernels_.column_product(p, static_cast<int>(vectors));
      }
    });
  }

  // Taps [in][taps][taps][out] of a block of input and one of output channels.
  using FilterBlock = std::array<float, kMostTaps * kMostLanes * kMostLanes>;
  int64_t taps_of_input() const { return int64_t{form_.taps} * form_.taps * lanes(); }

  // Calls body(float in the filter, float in the block) for the taps of the blocks of channels from i and o.
  template <typename Body>
  void for_taps_of_block(const Taps& taps, int64_t i, int64_t o, FilterBlock& block, const Body& body) const {
    for (int64_t lane = 0; lane < lanes(); ++lane) {
      for (int64_t k = 0; k < lanes(); ++k) {
        float* from = taps.data + (o + lane) * taps.out + (i + k) * taps.in;
        float* to = block.data() + k * taps_of_input() + lane;
        for (int64_t row = 0; row < form_.taps; ++row) {
          for (int64_t column = 0; column < form_.taps; ++column) {
            body(from[row * taps.row + column * taps.column], to[(row * form_.taps + column) * lanes()]);
          }
        }
      }
    }
  }

  // Calls body(first input channel, first output channel, vectors, blocks for each of these) for every block of input
  // channels and group of vectors: whole lines of the filter's points at a time.
  template <typename Body>
  void for_filter_blocks(const Body& body) const {
    const int64_t in_blocks = in_ / lanes();
    at::parallel_for(0, in_blocks * groups_, 1, [&](int64_t begin, int64_t end) {
      std::array<FilterBlock, kMostVectors> blocks;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / in_blocks * group_width();
        body(i % in_blocks * lanes(), first, std::min(group_width(), out_ - first) / lanes(), blocks);
      }
    });
  }

  // Where the points of an input channel and a vector of a group that begins at output channel `first` lie.
  int64_t filter_offset(int64_t i, int64_t first, int64_t vectors, int64_t vector) const {
    return first * in_ + (i * vectors + vector) * lanes();
  }

  at::Tensor transform_filter(const Taps& taps) const {
    at::Tensor result = buffer(filter_pitch_);
    auto* points = result.data_ptr<float>();
    for_filter_blocks([&](int64_t i, int64_t first, int64_t vectors, auto& blocks) {
      for (int64_t v = 0; v < vectors; ++v) {
        for_taps_of_block(taps, i, first + v * lanes(), blocks[v],
                          [](float in_filter, float& in_block) { in_block = in_filter; });
      }
      for (int64_t k = 0; k < lanes(); ++k) {
        for (int64_t v = 0; v < vectors; ++v) {
          form_.filter({blocks[v].data() + k * taps_of_input(), points + filter_offset(i + k, first, vectors, v),
                        filter_pitch_});
        }
      }
    });
    return result;
  }

  void transform_filter_gradient(const float* points, const Taps& taps) const {
    for_filter_blocks([&](int64_t i, int64_t first, int64_t vectors, auto& blocks) {
      for (int64_t k = 0; k < lanes(); ++k) {
        for (int64_t v = 0; v < vectors; ++v) {
          form_.filter_gradient({points + filter_offset(i + k, first, vectors, v), filter_pitch_,
                                 blocks[v].data() + k * taps_of_input()});
        }
      }
      for (int64_t v = 0; v < vectors; ++v) {
        for_taps_of_block(taps, i, first + v * lanes(), blocks[v],
                          [](float& in_filter, float in_block) { in_filter = in_block; });
      }
    });
  }

  const Kernels& kernels_;
  const Winograd& form_;
  int64_t height_, width_;
  int64_t across_, a_image_, count_;  // tiles
  int64_t in_, out_;                  // channels
  int64_t groups_;                    // of vectors of output channels
  int64_t chunk_ = 0;                 // tiles at a time
  int64_t in_pitch_ = 0, out_pitch_ = 0, filter_pitch_ = 0;
};

// A filter [out,in,3,3]'s taps.
Taps taps_of(const at::Tensor& filter) {
  return {filter.data_ptr<float>(), filter.stride(1), filter.stride(0), filter.stride(2), filter.stride(3)};
}

// As the gradient of the input reads them: input and output channels changed, from the last tap to the first.
Taps reversed(const Taps& taps) {
  return {taps.data + 2 * taps.row + 2 * taps.column, taps.out, taps.in, -taps.row, -taps.column};
}

// The taps of a filter [in,out,4,4] that give result pixel (2i + row, 2j + column): along an axis tap 3 - row meets
// input pixel i + row - 1, tap 1 - row the next one.
Taps phase_taps(const at::Tensor& filter, int64_t row, int64_t column) {
  return {filter.data_ptr<float>() + (3 - row) * filter.stride(2) + (3 - column) * filter.stride(3), filter.stride(0),
          filter.stride(1), -2 * filter.stride(2), -2 * filter.stride(3)};
}

// As the gradient of the input reads them: tap 1 - row meets the phase's pixel i - row, tap 3 - row the next one.
Taps reversed_phase_taps(const at::Tensor& filter, int64_t row, int64_t column) {
  return {filter.data_ptr<float>() + (1 - row) * filter.stride(2) + (1 - column) * filter.stride(3), filter.stride(1),
          filter.stride(0), 2 * filter.stride(2), 2 * filter.stride(3)};
}

template <typename Body>
void for_phases(const Body& body) {
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t column = 0; column < 2; ++column) body(row, column);
  }
}

class WinogradFunction : public autograd::Function<WinogradFunction> {
 public:
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& filter,
                            int64_t kind) {
    context->save_for_backward({x, filter});
    context->saved_data["kind"] = kind;
    return winograd_forward(static_cast<WinogradKind>(kind), x, filter);
  }

  static autograd::variable_list backward(autograd::AutogradContext* context, autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const auto kind = static_cast<WinogradKind>(context->saved_data["kind"].toInt());
    auto [dx, dfilter] = winograd_backward(kind, gradients[0], saved[0], saved[1], context->needs_input_grad(0),
                                           context->needs_input_grad(1));
    return {dx, dfilter, at::Tensor()};
  }
};

}  // namespace

bool winograd_fits(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter) {
  if (!x.device().is_cpu() || x.scalar_type() != filter.scalar_type()) return false;
  // AMX's products of bf16 are so fast that direct sums win.
  if (x.scalar_type() == at::kBFloat16 ? has_bf16_tiles() : x.scalar_type() != at::kFloat) return false;
  const int64_t taps = kind == WinogradKind::k3x3 ? 3 : 4;
  if (filter.size(2) != taps || filter.size(3) != taps) return false;
  const int64_t lanes = kernels::widest_kernels().lanes;
  for (const int64_t channels : {filter.size(0), filter.size(1)}) {
    if (channels < kFewestChannels || channels % lanes != 0) return false;
  }
  const int64_t tiles = ceil_divide(x.size(2), kTile) * ceil_divide(x.size(3), kTile);
  const bool is_small = filter.size(0) * filter.size(1) <= kSmallFilter;
  return tiles >= (is_small ? kFewestTilesOfSmallFilters : kFewestTiles) &&
         2 * x.size(2) * x.size(3) >= tiles * kTile * kTile;
}

at::Tensor winograd_forward(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter) {
  const at::Tensor from = in_nhwc(x);
  const at::Tensor wide = filter.to(at::kFloat);
  const int64_t height = x.size(2);
  const int64_t width = x.size(3);
  if (kind == WinogradKind::k3x3) {
    at::Tensor y = at::empty({x.size(0), wide.size(0), height, width}, x.options(), kChannelsLast);
    const Tiles tiles(3, x.size(0), height, width, wide.size(1), wide.size(0));
    tiles.convolve({{grid_of(from), -1, -1, taps_of(wide)}}, grid_of(y));
    return in_order_of(x, y);
  }
  at::Tensor y = at::empty({x.size(0), wide.size(1), 2 * height, 2 * width}, x.options(), kChannelsLast);
  const Tiles tiles(2, x.size(0), height, width, wide.size(0), wide.size(1));
  for_phases([&](int64_t row, int64_t column) {
    tiles.convolve({{grid_of(from), row - 1, column - 1, phase_taps(wide, row, column)}}, phase_of(y, row, column));
  });
  return in_order_of(x, y);
}

std::pair<at::Tensor, at::Tensor> winograd_backward(WinogradKind kind, const at::Tensor& dy, const at::Tensor& x,
                                                    const at::Tensor& filter, bool wants_x, bool wants_filter) {
  const at::Tensor gradient = in_nhwc(dy);
  const at::Tensor wide = filter.to(at::kFloat);
  const int64_t images = x.size(0);
  const int64_t height = x.size(2);
  const int64_t width = x.size(3);
  const bool is_3x3 = kind == WinogradKind::k3x3;
  const int64_t in = x.size(1);
  const int64_t out = dy.size(1);
  at::Tensor dx;
  if (wants_x) {
    at::Tensor nhwc = at::empty(x.sizes(), x.options(), kChannelsLast);
    std::vector<Term> terms;
    if (is_3x3) {
      terms.push_back({grid_of(gradient), -1, -1, reversed(taps_of(wide))});
    } else {
      for_phases([&](int64_t row, int64_t column) {
        terms.push_back({phase_of(gradient, row, column), -row, -column, reversed_phase_taps(wide, row, column)});
      });
    }
    Tiles(is_3x3 ? 3 : 2, images, height, width, out, in).convolve(terms, grid_of(nhwc));
    dx = in_order_of(x, nhwc);
  }
  at::Tensor dfilter;
  if (wants_filter) {
    dfilter = at::empty_like(wide);
    const at::Tensor from = in_nhwc(x);
    const Tiles tiles(is_3x3 ? 3 : 2, images, height, width, in, out);
    if (is_3x3) {
      tiles.filter_gradient({grid_of(from), -1, -1, taps_of(dfilter)}, grid_of(gradient));
    } else {
      for_phases([&](int64_t row, int64_t column) {
        tiles.filter_gradient({grid_of(from), row - 1, column - 1, phase_taps(dfilter, row, column)},
                              phase_of(gradient, row, column));
      });
    }
    dfilter = dfilter.to(filter.scalar_type());
  }
  return {dx, dfilter};
}

at::Tensor winograd_convolution(WinogradKind kind, const at::Tensor& x, const at::Tensor& filter) {
  return WinogradFunction::apply(x, filter, static_cast<int64_t>(kind));
}

}  // namespace posefix::torchgraph

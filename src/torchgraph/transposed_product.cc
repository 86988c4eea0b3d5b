#include "torchgraph/transposed_product.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "torchgraph/bf16_instructions.h"

namespace posefix::torchgraph {
namespace {

namespace autograd = torch::autograd;

constexpr int64_t kTaps = 4;
// In f32: of larger maps or smaller filters the taps are most of what is read and written.
constexpr int64_t kMostPixels = 192;
constexpr int64_t kFewestWeights = 1 << 16;  // input times output channels

bool is_low(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf; }

bool is_nhwc(const at::Tensor& x) { return !x.is_contiguous() && x.is_contiguous(at::MemoryFormat::ChannelsLast); }

// a [m,k], b [k,n] -> [m,n], in bf16 or f32. LibTorch's own loops, which it takes in bf16 where oneDNN has no fast ones
// and for small products, round every partial sum.
at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  constexpr int64_t kSmall = int64_t{1} << 20;
  const bool is_small = a.size(0) * a.size(1) * b.size(1) < kSmall;
  if (a.scalar_type() == at::kBFloat16 && !is_small && has_bf16_dot_products()) return at::mm(a, b);
  return at::mm(a.to(at::kFloat), b.to(at::kFloat));
}

// [B,C,h,w] -> [B*h*w,C]
at::Tensor pixel_rows(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)}); }

// [B,h,w,C] -> [B,C,h,w] in x's order of memory.
at::Tensor in_order_of(const at::Tensor& x, const at::Tensor& nhwc) {
  const at::Tensor result = nhwc.permute({0, 3, 1, 2});
  return is_nhwc(x) ? result : result.contiguous();
}

// The order of taps and output channels in the filter's memory. Products have a row's columns in that order.
struct FilterOrder {
  int64_t in, out;
  bool taps_first;

  explicit FilterOrder(const at::Tensor& filter)
      : in(filter.size(0)), out(filter.size(1)), taps_first(is_nhwc(filter)) {}

  // [in,out,4,4] -> [in,16*out]
  at::Tensor matrix(const at::Tensor& filter) const {
    return (taps_first ? filter.permute({0, 2, 3, 1}) : filter).reshape({in, kTaps * kTaps * out});
  }
  at::Tensor filter(const at::Tensor& matrix) const {
    if (!taps_first) return matrix.view({in, out, kTaps, kTaps});
    return matrix.view({in, kTaps, kTaps, out}).permute({0, 3, 1, 2});
  }
  // [..., 16*out] -> [B,h,w,4,4,out]
  at::Tensor taps(const at::Tensor& columns, int64_t batch, int64_t height, int64_t width) const {
    if (taps_first) return columns.view({batch, height, width, kTaps, kTaps, out});
    return columns.view({batch, height, width, out, kTaps, kTaps}).permute({0, 1, 2, 4, 5, 3});
  }
  // [B,h,w,4,4,out] -> [B*h*w,16*out]
  at::Tensor columns(const at::Tensor& taps) const {
    return (taps_first ? taps : taps.permute({0, 1, 2, 5, 3, 4})).reshape({-1, kTaps * kTaps * out});
  }
};

// Tap t of input pixel i meets result pixel 2i + t - 1: pixel i + shift of the phase of odd or even pixels.
struct Span {
  int64_t phase, from, to, count;  // of a line of `count` pixels
};

Span span_of(int64_t tap, int64_t pixels) {
  const int64_t phase = (tap + 1) % 2;
  const int64_t shift = (tap - 1 - phase) / 2;
  return {phase, std::max<int64_t>(0, -shift), std::max<int64_t>(0, shift), pixels - std::abs(shift)};
}

class TransposedProduct : public autograd::Function<TransposedProduct> {
 public:
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& filter) {
    context->save_for_backward({x, filter});
    return transposed_product_forward(x, filter);
  }

  static autograd::variable_list backward(autograd::AutogradContext* context, autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    auto [dx, dfilter] = transposed_product_backward(gradients[0], saved[0], saved[1], context->needs_input_grad(0),
                                                     context->needs_input_grad(1));
    return {dx, dfilter};
  }
};

}  // namespace

bool transposed_product_fits(const at::Tensor& x, const at::Tensor& filter) {
  if (!x.device().is_cpu() || x.scalar_type() != filter.scalar_type()) return false;
  if (filter.size(2) != kTaps || filter.size(3) != kTaps) return false;
  if (is_low(x)) return true;
  return x.scalar_type() == at::kFloat && x.size(2) * x.size(3) <= kMostPixels &&
         filter.size(0) * filter.size(1) > kFewestWeights;
}

at::Tensor transposed_product_forward(const at::Tensor& x, const at::Tensor& filter) {
  const int64_t batch = x.size(0);
  const int64_t height = x.size(2);
  const int64_t width = x.size(3);
  const FilterOrder order(filter);
  const at::Tensor taps = order.taps(product(pixel_rows(x), order.matrix(filter)), batch, height, width);
  const at::Tensor sums = at::zeros({batch, 2 * height, 2 * width, order.out}, x.options().dtype(at::kFloat));
  const at::Tensor phases = sums.view({batch, height, 2, width, 2, order.out});
  for (int64_t row = 0; row < kTaps; ++row) {
    const Span down = span_of(row, height);
    for (int64_t column = 0; column < kTaps; ++column) {
      const Span across = span_of(column, width);
      const at::Tensor tap = taps.select(4, column).select(3, row);                   // [B,h,w,out]
      const at::Tensor phase = phases.select(4, across.phase).select(2, down.phase);  // likewise
      phase.narrow(1, down.to, down.count).narrow(2, across.to, across.count) +=
          tap.narrow(1, down.from, down.count).narrow(2, across.from, across.count);
    }
  }
  return in_order_of(x, sums.to(x.scalar_type()));
}

std::pair<at::Tensor, at::Tensor> transposed_product_backward(const at::Tensor& dy, const at::Tensor& x,
                                                              const at::Tensor& filter, bool wants_x,
                                                              bool wants_filter) {
  const int64_t batch = x.size(0);
  const int64_t height = x.size(2);
  const int64_t width = x.size(3);
  const FilterOrder order(filter);
  // [B,2h+2,2w+2,out], of which a pixel's taps are a window of 4x4.
  const at::Tensor padded = at::constant_pad_nd(dy.permute({0, 2, 3, 1}), {0, 0, 1, 1, 1, 1}).contiguous();
  const int64_t line = padded.stride(1);
  const at::Tensor windows = padded.as_strided({batch, height, width, kTaps, kTaps, order.out},
                                               {padded.stride(0), 2 * line, 2 * order.out, line, order.out, 1});
  const at::Tensor columns = order.columns(windows);
  at::Tensor dx;
  if (wants_x) {
    const at::Tensor rows = product(columns, order.matrix(filter).t()).to(x.scalar_type());
    dx = in_order_of(x, rows.view({batch, height, width, order.in}));
  }
  at::Tensor dfilter;
  if (wants_filter) dfilter = order.filter(product(pixel_rows(x).t(), columns).to(filter.scalar_type()));
  return {dx, dfilter};
}

at::Tensor transposed_product(const at::Tensor& x, const at::Tensor& filter) {
  return TransposedProduct::apply(x, filter);
}

}  // namespace posefix::torchgraph

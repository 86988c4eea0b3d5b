#include "torchgraph/ops.h"

#include <ATen/ATen.h>

#include "torchgraph/transposed_product.h"
#include "torchgraph/winograd.h"

namespace posefix::torchgraph {
namespace {

bool symmetric(const Pads& pads) { return pads[0] == pads[1] && pads[2] == pads[3]; }

double middle(int64_t count) { return static_cast<double>(count - 1) / 2; }

// [count] 0, 1, 2, ...
at::Tensor indices(int64_t count, const at::TensorOptions& options) { return at::arange(count, options); }

// 0, 1, 2, ... from the middle, since a sum of probabilities that is off by one rounding moves a coordinate by that
// share of its distance from the origin.
at::Tensor centred(int64_t count, const at::TensorOptions& options) { return indices(count, options) - middle(count); }

// probability [B,K,h,w] -> [B,K,2] expected (x, y) from the middle. By way of the rows' and the columns' sums: LibTorch
// adds them up in parts, where a product with the grid of all cells would be one long chain in f32, as the BLAS has it.
at::Tensor expected_cell(const at::Tensor& probability) {
  const at::Tensor x = centred(probability.size(3), probability.options());
  const at::Tensor y = centred(probability.size(2), probability.options());
  const at::Tensor sums = at::stack({(probability.sum(2) * x).sum(2), (probability.sum(3) * y).sum(2)}, 2);
  return sums / probability.sum(at::IntArrayRef{2, 3}).unsqueeze(2);
}

at::Tensor with_bias(const at::Tensor& x, const at::Tensor& bias) {
  return bias.defined() ? x + bias.view({1, -1, 1, 1}) : x;
}

}  // namespace

at::Tensor render_pose(const at::Tensor& pose, const at::Tensor& valid, int64_t height, int64_t width,
                       double sigma_px) {
  // exp(-(dx^2+dy^2)/2s^2) = exp(-dx^2/2s^2) * exp(-dy^2/2s^2): K*(H+W) exponentials instead of K*H*W.
  const double scale = -0.5 / (sigma_px * sigma_px);
  const at::Tensor x = pose.select(2, 0).unsqueeze(2);  // [B,K,1]
  const at::Tensor y = pose.select(2, 1).unsqueeze(2);
  const at::Tensor across = at::exp((indices(width, pose.options()) - x).square() * scale);  // [B,K,W]
  const at::Tensor down = at::exp((indices(height, pose.options()) - y).square() * scale) * (valid * 255).unsqueeze(2);
  return down.unsqueeze(3) * across.unsqueeze(2);
}

at::Tensor pad(const at::Tensor& x, const Pads& pads) {
  return at::constant_pad_nd(x, {pads[2], pads[3], pads[0], pads[1]}, 0);
}

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& filter, const at::Tensor& bias, int64_t stride,
                  const Pads& pads) {
  if (!symmetric(pads)) return conv2d(pad(x, pads), filter, bias, stride, Pads{});
  if (stride == 1 && pads == Pads{1, 1, 1, 1} && winograd_fits(WinogradKind::k3x3, x, filter)) {
    return with_bias(winograd_convolution(WinogradKind::k3x3, x, filter), bias);
  }
  return at::conv2d(x, filter, bias, {stride, stride}, {pads[0], pads[2]});
}

at::Tensor conv_transpose2d_same(const at::Tensor& x, const at::Tensor& filter, const at::Tensor& bias,
                                 int64_t stride) {
  if (stride == 2 && winograd_fits(WinogradKind::k4x4Transposed, x, filter)) {
    return with_bias(winograd_convolution(WinogradKind::k4x4Transposed, x, filter), bias);
  }
  // In a low precision LibTorch 1.13 has none of its own.
  if (stride == 2 && transposed_product_fits(x, filter)) return with_bias(transposed_product(x, filter), bias);
  // SAME drops kernel - stride rows in all, the smaller half before.
  const int64_t drop_y = filter.size(2) - stride;
  const int64_t drop_x = filter.size(3) - stride;
  if (drop_y % 2 == 0 && drop_x % 2 == 0) {
    return at::conv_transpose2d(x, filter, bias, {stride, stride}, {drop_y / 2, drop_x / 2});
  }
  const at::Tensor whole = at::conv_transpose2d(x, filter, bias, {stride, stride});
  return whole.narrow(2, drop_y / 2, x.size(2) * stride).narrow(3, drop_x / 2, x.size(3) * stride);
}

at::Tensor max_pool(const at::Tensor& x, int64_t kernel, int64_t stride, const Pads& pads) {
  const bool fits = symmetric(pads) && pads[0] <= kernel / 2 && pads[2] <= kernel / 2;
  if (!fits) return max_pool(pad(x, pads), kernel, stride, Pads{});
  return at::max_pool2d(x, {kernel, kernel}, {stride, stride}, {pads[0], pads[2]});
}

at::Tensor heatmap_softmax(const at::Tensor& logits) { return at::softmax(logits.flatten(2), 2); }

at::Tensor soft_argmax(const at::Tensor& logits) {
  const at::Tensor from_middle = expected_cell(heatmap_softmax(logits).view(logits.sizes()));
  return at::stack(
      {from_middle.select(2, 0) + middle(logits.size(3)), from_middle.select(2, 1) + middle(logits.size(2))}, 2);
}

at::Tensor heatmap_spread(const at::Tensor& logits) {
  const at::Tensor probability = heatmap_softmax(logits).view(logits.sizes());                           // [B,K,h,w]
  const at::Tensor mean = expected_cell(probability);                                                    // [B,K,2]
  const at::Tensor from_x = centred(logits.size(3), logits.options()) - mean.select(2, 0).unsqueeze(2);  // [B,K,w]
  const at::Tensor from_y = centred(logits.size(2), logits.options()) - mean.select(2, 1).unsqueeze(2);  // [B,K,h]
  const at::Tensor squared = from_y.square().unsqueeze(3) + from_x.square().unsqueeze(2);                // [B,K,h,w]
  return (probability * squared).sum(at::IntArrayRef{2, 3}).sqrt();
}

}  // namespace posefix::torchgraph

#include "torchgraph/batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/cpu_clones.h"

namespace posefix::torchgraph {
namespace {

namespace autograd = torch::autograd;
constexpr auto kNhwc = at::MemoryFormat::ChannelsLast;
constexpr int64_t kChunkValues = 1 << 16;

#define POSEFIX_INLINE __attribute__((always_inline)) inline

// Plain integers, so that loops over them vectorise.
using Bf16 = uint16_t;

POSEFIX_INLINE float read(float value) { return value; }
POSEFIX_INLINE float read(Bf16 value) {
  const uint32_t bits = uint32_t{value} << 16;
  float wide = 0;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}
POSEFIX_INLINE void write(float value, float& to) { to = value; }
POSEFIX_INLINE void write(float value, Bf16& to) {  // to nearest even; NaN stays NaN, whatever its last bits carry
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t kept = value != value ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
  to = static_cast<Bf16>(kept >> 16);
}

// Both leave NaN as it is.
POSEFIX_INLINE float relu(float x) { return x < 0 ? 0 : x; }
POSEFIX_INLINE float where_positive(float y, float gradient) {  // by its bits: a branch would not vectorise
  uint32_t bits = 0;
  std::memcpy(&bits, &gradient, sizeof bits);
  bits &= -static_cast<uint32_t>(!(y <= 0));
  std::memcpy(&gradient, &bits, sizeof bits);
  return gradient;
}

// Rows of `channels` values each.
struct Rows {
  int64_t count = 0, channels = 0;
};

// Sums of a few rows are f32, those of all rows double: as exact, and fewer conversions than values. Row by row, since
// prefetchers follow few streams.
constexpr int64_t kGroup = 32;

// add(offset of a row) adds to `few` [2][C], whose sums of a group of rows are added to `sums` [2][C].
template <typename Add>
POSEFIX_INLINE void add_in_groups(Rows rows, float* few, double* __restrict sums, const Add& add) {
  const int64_t width = 2 * rows.channels;
  for (int64_t begin = 0; begin < rows.count; begin += kGroup) {
    for (int64_t i = 0; i < width; ++i) few[i] = 0;
    const int64_t end = begin + kGroup < rows.count ? begin + kGroup : rows.count;
    for (int64_t r = begin; r < end; ++r) add(r * rows.channels);
    for (int64_t i = 0; i < width; ++i) sums[i] += few[i];
  }
}

// sums[0][c] += x - pivot, sums[1][c] += (x - pivot)^2, where the pivot is any value of the channel: squares about one
// that lies far from the mean would lose the variance's digits.
template <typename T>
POSEFIX_INLINE void add_moments(const T* x, Rows rows, const float* pivot, float* few, double* sums) {
  float* __restrict sum = few;
  float* __restrict square = few + rows.channels;
  add_in_groups(rows, few, sums, [=](int64_t row) {
    for (int64_t c = 0; c < rows.channels; ++c) {
      const float value = read(x[row + c]) - pivot[c];
      sum[c] += value;
      square[c] += value * value;
    }
  });
}

struct Normalisation {
  const float *mean, *factor, *offset;  // [C]
};

template <bool kAdds, bool kRelu, typename T>
POSEFIX_INLINE void normalise(const T* x, const T* residual, T* __restrict y, Rows rows, const Normalisation& n) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t row = r * rows.channels;
    for (int64_t c = 0; c < rows.channels; ++c) {
      float value = (read(x[row + c]) - n.mean[c]) * n.factor[c] + n.offset[c];
      if constexpr (kAdds) value += read(residual[row + c]);
      write(kRelu ? relu(value) : value, y[row + c]);
    }
  }
}

template <typename T>
POSEFIX_INLINE void normalise(const T* x, const T* residual, bool has_relu, T* y, Rows rows, const Normalisation& n) {
  if (residual != nullptr) {
    has_relu ? normalise<true, true>(x, residual, y, rows, n) : normalise<true, false>(x, residual, y, rows, n);
  } else {
    has_relu ? normalise<false, true>(x, residual, y, rows, n) : normalise<false, false>(x, residual, y, rows, n);
  }
}

// sums[0][c] += g, sums[1][c] += g * (x - mean), where g is dy where the ReLU let it through. y: null without ReLU.
template <bool kRelu, typename T>
POSEFIX_INLINE void add_gradients(const T* dy, const T* y, const T* x, const float* mean, Rows rows, float* few,
                                  double* sums) {
  float* __restrict sum = few;
  float* __restrict product = few + rows.channels;
  add_in_groups(rows, few, sums, [=](int64_t row) {
    for (int64_t c = 0; c < rows.channels; ++c) {
      const float g = kRelu ? where_positive(read(y[row + c]), read(dy[row + c])) : read(dy[row + c]);
      sum[c] += g;
      product[c] += g * (read(x[row + c]) - mean[c]);
    }
  });
}

// dx = factor * (g - mean of g - (x - mean) * slope)
struct Slopes {
  const float *mean, *factor, *mean_gradient, *slope;  // [C]
};

template <bool kRelu, bool kAdds, typename T>
POSEFIX_INLINE void input_gradient(const T* dy, const T* y, const T* x, T* __restrict dx, T* __restrict dresidual,
                                   Rows rows, const Slopes& s) {
  for (int64_t r = 0; r < rows.count; ++r) {
    const int64_t row = r * rows.channels;
    for (int64_t c = 0; c < rows.channels; ++c) {
      const float g = kRelu ? where_positive(read(y[row + c]), read(dy[row + c])) : read(dy[row + c]);
      if constexpr (kAdds) write(g, dresidual[row + c]);
      const float centred = read(x[row + c]) - s.mean[c];
      write((g - s.mean_gradient[c] - centred * s.slope[c]) * s.factor[c], dx[row + c]);
    }
  }
}

// The loops of a type, compiled for several CPUs.
template <typename T>
struct Loops;

#define POSEFIX_LOOPS(T, NAME)                                                                                         \
  POSEFIX_CPU_CLONES("arch=x86-64-v4", "arch=x86-64-v3")                                                               \
  void moments_##NAME(const T* x, Rows rows, const float* pivot, float* few, double* sums) {                           \
    add_moments(x, rows, pivot, few, sums);                                                                            \
  }                                                                                                                    \
  POSEFIX_CPU_CLONES("arch=x86-64-v4", "arch=x86-64-v3")                                                               \
  void normalise_##NAME(const T* x, const T* residual, bool has_relu, T* y, Rows rows, const Normalisation& n) {       \
    normalise(x, residual, has_relu, y, rows, n);                                                                      \
  }                                                                                                                    \
  POSEFIX_CPU_CLONES("arch=x86-64-v4", "arch=x86-64-v3")                                                               \
  void gradients_##NAME(const T* dy, const T* y, const T* x, const float* mean, Rows rows, float* few, double* sums) { \
    y != nullptr ? add_gradients<true>(dy, y, x, mean, rows, few, sums)                                                \
                 : add_gradients<false>(dy, y, x, mean, rows, few, sums);                                              \
  }                                                                                                                    \
  POSEFIX_CPU_CLONES("arch=x86-64-v4", "arch=x86-64-v3")                                                               \
  void input_gradient_##NAME(const T* dy, const T* y, const T* x, T* dx, T* dresidual, Rows rows, const Slopes& s) {   \
    if (y == nullptr) return input_gradient<false, false>(dy, y, x, dx, dresidual, rows, s);                           \
    dresidual != nullptr ? input_gradient<true, true>(dy, y, x, dx, dresidual, rows, s)                                \
                         : input_gradient<true, false>(dy, y, x, dx, dresidual, rows, s);                              \
  }                                                                                                                    \
  template <>                                                                                                          \
  struct Loops<T> {                                                                                                    \
    static constexpr auto* moments = &moments_##NAME;                                                                  \
    static constexpr auto* normalised = &normalise_##NAME;                                                             \
    static constexpr auto* gradients = &gradients_##NAME;                                                              \
    static constexpr auto* input_gradients = &input_gradient_##NAME;                                                   \
  };

POSEFIX_LOOPS(float, f32)
POSEFIX_LOOPS(Bf16, bf16)
#undef POSEFIX_LOOPS

template <typename T>
T* data(const at::Tensor& nhwc) {
  return nhwc.defined() ? static_cast<T*>(nhwc.data_ptr()) : nullptr;
}

// Calls body(first row, rows) for parts of x's rows, the same ones with any number of threads.
template <typename Body>
void for_chunks(Rows all, const Body& body) {
  const int64_t rows = std::max<int64_t>(1, kChunkValues / all.channels);
  at::parallel_for(0, (all.count + rows - 1) / rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      body(chunk, chunk * rows, Rows{std::min(rows, all.count - chunk * rows), all.channels});
    }
  });
}

// Two sums for every channel of what `add` adds to them, chunk by chunk: [2][C].
template <typename Add>
std::vector<double> channel_sums(Rows all, const Add& add) {
  const auto width = static_cast<size_t>(2 * all.channels);
  const int64_t rows = std::max<int64_t>(1, kChunkValues / all.channels);
  std::vector<double> parts(static_cast<size_t>((all.count + rows - 1) / rows) * width);
  for_chunks(all, [&](int64_t chunk, int64_t first, Rows part) {
    std::vector<float> few(width);
    add(first * all.channels, part, few.data(), parts.data() + static_cast<size_t>(chunk) * width);
  });
  std::vector<double> result(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(width));
  for (size_t i = width; i < parts.size(); ++i) result[i % width] += parts[i];
  return result;
}

Rows rows_of(const at::Tensor& x) { return {x.size(0) * x.size(2) * x.size(3), x.size(1)}; }

template <typename T>
BatchNormResult forward(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset, BatchNormState& state,
                        const BatchNormTail& tail) {
  const Rows all = rows_of(x);
  const T* from = data<T>(x);
  std::vector<float> pivots(static_cast<size_t>(all.channels));
  for (size_t c = 0; c < pivots.size(); ++c) pivots[c] = read(from[c]);
  const std::vector<double> sums = channel_sums(all, [&](int64_t first, Rows part, float* few, double* to) {
    Loops<T>::moments(from + first, part, pivots.data(), few, to);
  });
  BatchNormResult result{at::empty_like(x), at::empty_like(scale), at::empty_like(scale)};
  const at::Tensor factors = at::empty_like(scale);
  auto* mean = result.mean.data_ptr<float>();
  auto* inverse = result.inverse_deviation.data_ptr<float>();
  auto* factor = factors.data_ptr<float>();
  auto* moving_mean = state.moving_mean.data_ptr<float>();
  auto* moving_variance = state.moving_variance.data_ptr<float>();
  const auto count = static_cast<double>(all.count);
  for (int64_t c = 0; c < all.channels; ++c) {
    const double from_pivot = sums[static_cast<size_t>(c)] / count;
    const double square = sums[static_cast<size_t>(all.channels + c)] / count;
    const double variance = std::max(0.0, square - from_pivot * from_pivot);
    const double average = pivots[static_cast<size_t>(c)] + from_pivot;
    mean[c] = static_cast<float>(average);
    inverse[c] = static_cast<float>(1 / std::sqrt(variance + state.epsilon));
    factor[c] = scale.data_ptr<float>()[c] * inverse[c];
    const auto move = [&](float& moving, double value) {
      moving = static_cast<float>(moving + (value - moving) * state.momentum);
    };
    move(moving_mean[c], average);
    move(moving_variance[c], variance * count / (count - 1));
  }
  const at::Tensor residual = tail.residual.defined() ? tail.residual.contiguous(kNhwc) : tail.residual;
  const Normalisation normalisation{mean, factor, offset.data_ptr<float>()};
  const T* added = data<T>(residual);
  T* y = data<T>(result.y);
  for_chunks(all, [&](int64_t, int64_t first, Rows part) {
    const int64_t at = first * all.channels;
    Loops<T>::normalised(from + at, added != nullptr ? added + at : nullptr, tail.relu, y + at, part, normalisation);
  });
  return result;
}

template <typename T>
BatchNormGradients backward(const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& scale,
                            const BatchNormResult& result, bool has_residual, bool has_relu) {
  const Rows all = rows_of(x);
  const T* dy = data<T>(gradient);
  const T* from = data<T>(x);
  const T* y = has_relu ? data<T>(result.y) : nullptr;
  const auto* mean = result.mean.data_ptr<float>();
  const auto* inverse = result.inverse_deviation.data_ptr<float>();
  const auto y_at = [&](int64_t at) { return y != nullptr ? y + at : nullptr; };
  const std::vector<double> sums = channel_sums(all, [&](int64_t first, Rows part, float* few, double* to) {
    Loops<T>::gradients(dy + first, y_at(first), from + first, mean, part, few, to);
  });
  BatchNormGradients gradients{at::empty_like(x), at::empty_like(scale), at::empty_like(scale), {}};
  if (has_residual) gradients.residual = has_relu ? at::empty_like(x) : gradient;
  const at::Tensor slopes = at::empty({3, all.channels}, scale.options());
  auto* factor = slopes.data_ptr<float>();
  float* mean_gradient = factor + all.channels;
  float* slope = mean_gradient + all.channels;
  const auto count = static_cast<double>(all.count);
  for (int64_t c = 0; c < all.channels; ++c) {
    const double sum = sums[static_cast<size_t>(c)];
    const double product = sums[static_cast<size_t>(all.channels + c)];
    gradients.offset.data_ptr<float>()[c] = static_cast<float>(sum);
    gradients.scale.data_ptr<float>()[c] = static_cast<float>(product * inverse[c]);
    factor[c] = scale.data_ptr<float>()[c] * inverse[c];
    mean_gradient[c] = static_cast<float>(sum / count);
    slope[c] = static_cast<float>(product * inverse[c] * inverse[c] / count);
  }
  const Slopes all_slopes{mean, factor, mean_gradient, slope};
  T* dx = data<T>(gradients.x);
  T* dresidual = has_residual && has_relu ? data<T>(gradients.residual) : nullptr;
  for_chunks(all, [&](int64_t, int64_t first, Rows part) {
    const int64_t at = first * all.channels;
    Loops<T>::input_gradients(dy + at, y_at(at), from + at, dx + at, dresidual != nullptr ? dresidual + at : nullptr,
                              part, all_slopes);
  });
  return gradients;
}

class BatchNorm : public autograd::Function<BatchNorm> {
 public:
  // The residual by itself, for autograd to see it, and never undefined, which a function of LibTorch 1.13 may not
  // read.
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            const at::Tensor& offset, const at::Tensor& residual, bool has_residual,
                            BatchNormState* state, bool relu) {
    const BatchNormResult result =
        batch_norm_forward(x, scale, offset, *state, {has_residual ? residual : at::Tensor(), relu});
    context->save_for_backward({x, scale, relu ? result.y : at::Tensor(), result.mean, result.inverse_deviation});
    context->saved_data["has_residual"] = has_residual;
    context->saved_data["relu"] = relu;
    return result.y;
  }

  static autograd::variable_list backward(autograd::AutogradContext* context, autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const BatchNormGradients result =
        batch_norm_backward(gradients[0], saved[0], saved[1], {saved[2], saved[3], saved[4]},
                            context->saved_data["has_residual"].toBool(), context->saved_data["relu"].toBool());
    return {result.x, result.scale, result.offset, result.residual, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool batch_norm_fits(const at::Tensor& x, const at::Tensor& scale) {
  if (!x.device().is_cpu() || x.is_contiguous() || !x.is_contiguous(kNhwc)) return false;
  return scale.scalar_type() == at::kFloat && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset, BatchNormState& state,
                      const BatchNormTail& tail) {
  const bool has_residual = tail.residual.defined();
  return BatchNorm::apply(x, scale, offset, has_residual ? tail.residual : x, has_residual, &state, tail.relu);
}

BatchNormResult batch_norm_forward(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                                   BatchNormState& state, const BatchNormTail& tail) {
  return x.scalar_type() == at::kFloat ? forward<float>(x, scale, offset, state, tail)
                                       : forward<Bf16>(x, scale, offset, state, tail);
}

BatchNormGradients batch_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& scale,
                                       const BatchNormResult& result, bool has_residual, bool has_relu) {
  const at::Tensor gradient = dy.contiguous(kNhwc);
  return x.scalar_type() == at::kFloat ? backward<float>(gradient, x, scale, result, has_residual, has_relu)
                                       : backward<Bf16>(gradient, x, scale, result, has_residual, has_relu);
}

}  // namespace posefix::torchgraph

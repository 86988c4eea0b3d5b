#include "train/adam.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/cpu_clones.h"
#include "base/error.h"

namespace posefix::train {
namespace {

constexpr int64_t kChunk = 1 << 15;

struct Factors {
  double keep_mean;    // 1 - beta1
  double keep_square;  // 1 - beta2
  double rate;         // with both corrections
  double epsilon;
};

template <typename T>
inline void update(T* __restrict w, T* __restrict m, T* __restrict v, const T* __restrict g, int64_t count,
                   const Factors& f) {
  const T keep_mean = static_cast<T>(f.keep_mean);
  const T keep_square = static_cast<T>(f.keep_square);
  const T rate = static_cast<T>(f.rate);
  const T epsilon = static_cast<T>(f.epsilon);
  for (int64_t i = 0; i < count; ++i) {
    m[i] += (g[i] - m[i]) * keep_mean;
    v[i] += (g[i] * g[i] - v[i]) * keep_square;
    w[i] -= m[i] * rate / (std::sqrt(v[i]) + epsilon);
  }
}

POSEFIX_CPU_CLONES("avx512f", "avx2")
void update_f32(float* w, float* m, float* v, const float* g, int64_t count, const Factors& f) {
  update(w, m, v, g, count, f);
}
POSEFIX_CPU_CLONES("avx512f", "avx2")
void update_f64(double* w, double* m, double* v, const double* g, int64_t count, const Factors& f) {
  update(w, m, v, g, count, f);
}

template <typename T, typename Update>
void update_on_cpu(at::Tensor& values, at::Tensor& mean, at::Tensor& square, const at::Tensor& gradients, int64_t count,
                   const Factors& factors, Update update_chunk) {
  T* w = values.data_ptr<T>();
  T* m = mean.data_ptr<T>();
  T* v = square.data_ptr<T>();
  const T* g = gradients.data_ptr<T>();
  at::parallel_for(0, count, kChunk, [&](int64_t begin, int64_t end) {
    update_chunk(w + begin, m + begin, v + begin, g + begin, end - begin, factors);
  });
}

void update_on_device(at::Tensor values, at::Tensor& mean, at::Tensor& square, const at::Tensor& gradients,
                      const Factors& f) {
  mean.add_((gradients - mean).mul_(f.keep_mean));
  square.add_((gradients * gradients).sub_(square).mul_(f.keep_square));
  values.sub_((mean * f.rate).div_(square.sqrt().add_(f.epsilon)));
}

// In eight independent chains, so that it vectorises without changing with the CPU. Squares are rounded to T before
// they are added up in double, as on a device, where the sum's order is another: what is left between both is far below
// a digit of the factor that clipping makes of the norm, and devices train to the same bits.
template <typename T>
double sum_of_squares(const T* x, int64_t count) {
  std::array<double, 8> sums{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) sums[static_cast<size_t>(lane)] += x[i + lane] * x[i + lane];
  }
  for (; i < count; ++i) sums[0] += x[i] * x[i];
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Of what `of_chunk` gives for (begin, count), in the chunks' order.
template <typename OfChunk>
double sum_over_chunks(int64_t count, const OfChunk& of_chunk) {
  std::vector<double> sums(static_cast<size_t>((count + kChunk - 1) / kChunk));
  at::parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t start = chunk * kChunk;
      sums[static_cast<size_t>(chunk)] = of_chunk(start, std::min(kChunk, count - start));
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

template <typename T>
double sum_of_squares_in_chunks(const T* x, int64_t size) {
  return sum_over_chunks(size, [=](int64_t begin, int64_t count) { return sum_of_squares(x + begin, count); });
}

// gradients += values * decay, in one pass with the sum of the values' squares.
template <typename T>
double decay_on_cpu(const at::Tensor& values, at::Tensor& gradients, double decay) {
  const T* w = values.data_ptr<T>();
  T* g = gradients.data_ptr<T>();
  const auto factor = static_cast<T>(decay);
  return sum_over_chunks(values.numel(), [=](int64_t begin, int64_t count) {
    for (int64_t i = begin; i < begin + count; ++i) g[i] += w[i] * factor;
    return sum_of_squares(w + begin, count);
  });
}

double sum_of_squares(const at::Tensor& flat) {
  if (!flat.device().is_cpu()) return (flat * flat).sum(at::kDouble).item<double>();
  if (flat.scalar_type() == at::kDouble) return sum_of_squares_in_chunks(flat.data_ptr<double>(), flat.numel());
  return sum_of_squares_in_chunks(flat.data_ptr<float>(), flat.numel());
}

}  // namespace

Adam::Adam(const TrainConfig& config, const at::Tensor& values, int64_t count, int64_t decaying)
    : decoupled_(config.optimizer == "adamw"),
      beta1_(config.beta1),
      beta2_(config.beta2),
      epsilon_(config.epsilon),
      decay_(config.weight_decay),
      count_(count),
      decaying_(decaying),
      mean_(at::zeros({count}, values.options())),
      square_(at::zeros({count}, values.options())) {
  PFX_CHECK(decaying <= count && count <= values.numel());
}

void Adam::step(at::Tensor& values, const at::Tensor& gradients, double rate) {
  PFX_CHECK(gradients.numel() == count_);
  const c10::NoGradGuard no_grad;
  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double square_correction = std::sqrt(1 - std::pow(beta2_, t));
  Factors factors{1 - beta1_, 1 - beta2_, rate * square_correction / (1 - std::pow(beta1_, t)), epsilon_};
  if (decoupled_) {
    factors.epsilon *= square_correction;
    values.narrow(0, 0, decaying_).mul_(1 - rate * decay_);
  }
  if (!values.device().is_cpu()) {
    update_on_device(values.narrow(0, 0, count_), mean_, square_, gradients, factors);
  } else if (values.scalar_type() == at::kDouble) {
    update_on_cpu<double>(values, mean_, square_, gradients, count_, factors, update_f64);
  } else {
    update_on_cpu<float>(values, mean_, square_, gradients, count_, factors, update_f32);
  }
}

double add_weight_decay(const at::Tensor& values, at::Tensor& gradients, int64_t count, double decay) {
  const c10::NoGradGuard no_grad;
  const at::Tensor decaying = values.narrow(0, 0, count);
  if (!values.device().is_cpu()) {
    gradients.narrow(0, 0, count).add_(decaying * decay);
    return 0.5 * decay * sum_of_squares(decaying);
  }
  const bool f64 = values.scalar_type() == at::kDouble;
  return 0.5 * decay *
         (f64 ? decay_on_cpu<double>(decaying, gradients, decay) : decay_on_cpu<float>(decaying, gradients, decay));
}

double l2_norm(const at::Tensor& flat) { return std::sqrt(sum_of_squares(flat)); }

}  // namespace posefix::train

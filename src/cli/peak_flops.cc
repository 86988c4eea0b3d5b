#include "cli/peak_flops.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/threads.h"

namespace posefix::cli {
namespace {

constexpr int64_t kRounds = 1 << 20;
// Independent sums: more than the latency of a multiply-add times the units that compute it, and they fit into 16
// registers with the two factors.
constexpr size_t kSums = 12;

using Floats4 = float __attribute__((vector_size(16)));
using Floats8 = float __attribute__((vector_size(32)));
using Floats16 = float __attribute__((vector_size(64)));

// Sums that tend to 1, so that no value is subnormal. The result keeps the loop from being left out.
template <typename Vector>
__attribute__((always_inline)) inline float multiply_add(float factor) {
  const Vector factors = Vector{} + factor;
  const Vector addends = Vector{} + (1 - factor);
  Vector sums[kSums];  // NOLINT(modernize-avoid-c-arrays): std::array would drop the vector's attributes
  for (size_t i = 0; i < kSums; ++i) sums[i] = Vector{} + factor * static_cast<float>(i);
  for (int64_t round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (size_t i = 0; i < kSums; ++i) sums[i] = sums[i] * factors + addends;
  }
  float total = 0;
  for (const Vector& sum : sums) total += sum[0];
  return total;
}

struct Loop {
  float (*run)(float factor);
  double flop;
};

constexpr double flop_of(size_t vector_bytes) {
  const size_t floats = vector_bytes / sizeof(float);
  return 2.0 * static_cast<double>(kSums * kRounds) * static_cast<double>(floats);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float multiply_add_avx512(float factor) { return multiply_add<Floats16>(factor); }
__attribute__((target("avx2,fma"))) float multiply_add_avx2(float factor) { return multiply_add<Floats8>(factor); }
#endif
float multiply_add_portable(float factor) { return multiply_add<Floats4>(factor); }

Loop widest_loop() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {multiply_add_avx512, flop_of(sizeof(Floats16))};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {multiply_add_avx2, flop_of(sizeof(Floats8))};
#endif
  return {multiply_add_portable, flop_of(sizeof(Floats4))};
}

}  // namespace

double measure_peak_gflops(int threads) {
  constexpr int kTries = 20;
  constexpr float kFactor = 0.999F;
  const Loop loop = widest_loop();
  ThreadPool pool(threads);
  std::atomic<float> result = kFactor;
  double least_seconds = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(threads, 1, [&](int64_t, int64_t) { result = loop.run(std::min(kFactor, result.load())); });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    least_seconds = i == 0 ? seconds : std::min(least_seconds, seconds);
  }
  return loop.flop * threads / least_seconds * 1e-9;
}

}  // namespace posefix::cli

#include "kernels/kernels.h"

namespace posefix::kernels {

const Kernels& widest_kernels() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") != 0) return avx512_kernels();
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) return avx2_kernels();
#endif
  return portable_kernels();
}

}  // namespace posefix::kernels

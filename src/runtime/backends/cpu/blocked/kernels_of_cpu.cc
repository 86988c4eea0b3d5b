#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu::blocked {

const Kernels& kernels_for(int64_t lanes) {
#ifdef __x86_64__
  if (lanes == 16 && has_instructions(dnnl::cpu_isa::avx512_core)) return kernels::avx512_kernels();
  if (lanes == 8 && has_instructions(dnnl::cpu_isa::avx2)) return kernels::avx2_kernels();
#endif
  PFX_CHECK(lanes == kernels::portable_kernels().lanes);
  return kernels::portable_kernels();
}

const Kernels* kernels_for_bf16() {
#ifdef __x86_64__
  const bool has_tiles = has_instructions(dnnl::cpu_isa::avx512_core_amx);
  if (has_instructions(dnnl::cpu_isa::avx512_core_bf16) && !has_tiles) return &kernels::avx512_bf16_kernels();
#endif
  return nullptr;
}

}  // namespace posefix::runtime::cpu::blocked

#include "runtime/backends/cpu/blocked/kernels.h"

#include "base/error.h"
#include "runtime/backends/cpu/blocked/convolution.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu::blocked {

const Kernels& kernels_for(int64_t lanes) {
#ifdef __x86_64__
  if (lanes == 16 && has_instructions(dnnl::cpu_isa::avx512_core)) return avx512_kernels();
  if (lanes == 8 && has_instructions(dnnl::cpu_isa::avx2)) return avx2_kernels();
#endif
  PFX_CHECK(lanes == portable_kernels().lanes);
  return portable_kernels();
}

}  // namespace posefix::runtime::cpu::blocked

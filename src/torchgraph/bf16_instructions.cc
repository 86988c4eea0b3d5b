#include "torchgraph/bf16_instructions.h"

namespace posefix::torchgraph {

#ifdef __x86_64__
bool has_bf16_dot_products() { return __builtin_cpu_supports("avx512bf16") != 0; }
bool has_bf16_tiles() { return __builtin_cpu_supports("amx-bf16") != 0; }
#else
bool has_bf16_dot_products() { return false; }
bool has_bf16_tiles() { return false; }
#endif

}  // namespace posefix::torchgraph

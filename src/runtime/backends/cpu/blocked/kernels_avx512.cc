#define POSEFIX_NAME "avx512"
#define POSEFIX_KERNELS avx512_kernels
#define POSEFIX_LANES 16
#define POSEFIX_VECTORS 4
#include "runtime/backends/cpu/blocked/kernels_body.h"

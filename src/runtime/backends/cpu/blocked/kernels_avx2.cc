#define POSEFIX_NAME "avx2"
#define POSEFIX_KERNELS avx2_kernels
#define POSEFIX_LANES 8
#define POSEFIX_VECTORS 2
#include "runtime/backends/cpu/blocked/kernels_body.h"

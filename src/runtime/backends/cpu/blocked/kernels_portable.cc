#define POSEFIX_NAME "portable"
#define POSEFIX_KERNELS portable_kernels
#define POSEFIX_LANES 8
#define POSEFIX_VECTORS 1
#include "runtime/backends/cpu/blocked/kernels_body.h"

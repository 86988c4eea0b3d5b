#define POSEFIX_NAME "avx2"
#define POSEFIX_KERNELS avx2_kernels
#define POSEFIX_LANES 8
#define POSEFIX_VECTORS 2
#define POSEFIX_FORMS form<3, 4, 4>(), form<3, 4, 3>(), form<2, 4, 4>(), form<2, 4, 3>(), form<2, 2, 2>()
#include "kernels/body.inc"

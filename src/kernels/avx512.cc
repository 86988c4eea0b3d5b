#define POSEFIX_NAME "avx512"
#define POSEFIX_KERNELS avx512_kernels
#define POSEFIX_LANES 16
#define POSEFIX_VECTORS 4
#define POSEFIX_FORMS form<3, 4, 4>(), form<3, 4, 3>(), form<2, 4, 4>(), form<2, 4, 3>(), form<2, 2, 2>()
#include "kernels/body.inc"

#define POSEFIX_NAME "portable"
#define POSEFIX_KERNELS portable_kernels
#define POSEFIX_LANES 8
#define POSEFIX_VECTORS 1
#define POSEFIX_REGISTER 4
#define POSEFIX_FORMS form<3, 4, 4>(), form<3, 4, 3>(), form<2, 4, 4>(), form<2, 4, 3>(), form<2, 2, 2>()
#include "kernels/body.inc"

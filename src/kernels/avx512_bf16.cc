// Larger windows would lose bf16's last two bits: the points' values grow with them.
#define POSEFIX_NAME "avx512_bf16"
#define POSEFIX_KERNELS avx512_bf16_kernels
#define POSEFIX_LANES 16
#define POSEFIX_VECTORS 4
#define POSEFIX_BF16
#define POSEFIX_FORMS form<2, 3, 3>(), form<2, 2, 2>()
#include "kernels/body.inc"

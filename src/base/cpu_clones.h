// POSEFIX_CPU_CLONES("avx512f", "avx2") before a function: it is compiled once for each of the instruction sets and
// once for the least, and the loader takes the widest that the CPU has. On other architectures and compilers, and under
// sanitizers, whose libraries are not ready when the loader chooses: once.
#pragma once

#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define POSEFIX_CPU_CLONES(...) __attribute__((target_clones(__VA_ARGS__, "default")))
#else
#define POSEFIX_CPU_CLONES(...)
#endif

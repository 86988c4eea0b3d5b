// The f32 peak of this machine's cores: what a loop of multiply-adds in registers reaches, without memory.
//
// Non-goals: peaks of bf16 and int8 arithmetic; memory bandwidth.
#pragma once

namespace posefix::cli {

// GFLOP/s of `threads` threads together (a multiply-add is two): the best of some tries of a few milliseconds, in the
// widest vectors that the CPU has. 0.1 s or so in all.
double measure_peak_gflops(int threads);

}  // namespace posefix::cli

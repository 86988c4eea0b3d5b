// What this CPU has for products of bf16, which decides between forms of convolutions. False on other architectures.
#pragma once

namespace posefix::torchgraph {

bool has_bf16_dot_products();  // AVX-512's
bool has_bf16_tiles();         // AMX's

}  // namespace posefix::torchgraph

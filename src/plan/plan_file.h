// The plan file. Integers are little-endian; "string" is u32 length, then the bytes; "f64" are IEEE bits.
//
//   offset 0   8 bytes  magic "PFXPLAN" 0x1A
//          8   u32      version: 1, or 2 with section 6
//         12   u32      number of sections n: 5, or 6
//         16   u64      size of the file
//         24   u32      crc32c of the header, bytes 0..32+32n-1, with this field as 0
//         28   u32      0
//         32   n x 32   section table, in this order: u32 id, u32 crc32c of the section, u64 offset, u64 size, u64 0
//     32+32n   sections, each at the next multiple of 64, zeros between
//
//   id 1 META     string target, precision, cpu_features, config_yaml, skeleton_yaml;
//                 u64 H, W, K, heatmap_stride, arena_bytes; f64 mean_bgr[3];
//                 string trust, absent when empty
//   id 2 TENSORS  u32 count; each: string name; u32 height, width, channels, dtype; f32 scale; u64 offset, bytes
//   id 3 WEIGHTS  u32 count; each: string name; u32 dtype, rank; u64 dims[rank]; u64 offset, bytes
//   id 4 STEPS    u32 count; each: u32 op; string name; u32 n; i32 inputs[n]; u32 m; i32 weights[m]; i32 output;
//                 i32 stride, kernel, pads[4]; u32 flags (1 relu, 2 bias, 4 residual); f64 sigma_px, factor;
//                 then u32 count of kept tensors; each: string name; i32 tensor
//                 (precision int8: weights[] of a convolution end with the scales of its i8 weights)
//   id 5 DATA     the weights, each at a multiple of 64, row-major
//   id 6 TUNING   u32 count >= 1; each: u32 batch, threads, n; n x (u32 step, method, tile height, tile width)
//                 (choice.h has the methods by number; a plan that was not tuned has no such section)
//
// A dtype is base/tensor.h's DType by number (0 f32, 3 bf16, 4 i8, 8 u8). The bytes depend on the plan alone.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace posefix::plan {

inline constexpr uint32_t kPlanVersion = 2;  // the newest

// True if the file starts with the magic (whatever follows).
bool is_plan_file(const std::filesystem::path& path);

// Maps the file and reads every byte once to compare the checksums. Error (bad input) names the file and the byte
// offset; nothing in the file is trusted.
std::shared_ptr<const Plan> read_plan(const std::filesystem::path& path);

// Written beside and renamed. The plan must be valid (PFX_CHECK).
void write_plan(const std::filesystem::path& path, const Plan& plan);

// The bytes that write_plan writes, for tests.
std::vector<std::byte> encode_plan(const Plan& plan);

// Steps as a table, one a line: what `inspect` prints.
std::string to_text(const Plan& plan);

}  // namespace posefix::plan

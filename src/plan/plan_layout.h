// What the reader and the writer of plan_file.h share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace posefix::plan {

inline constexpr std::array<char, 8> kMagic{'P', 'F', 'X', 'P', 'L', 'A', 'N', '\x1A'};
inline constexpr size_t kSections = 5;
inline constexpr size_t kSectionRecord = 32;
inline constexpr size_t kTableOffset = 32;
inline constexpr size_t kHeaderBytes = kTableOffset + kSections * kSectionRecord;  // 192
inline constexpr size_t kChecksumOffset = 24;
inline constexpr uint64_t kAlignment = 64;

enum class Section : uint32_t { kMeta = 1, kTensors = 2, kWeights = 3, kSteps = 4, kData = 5 };

inline constexpr uint32_t kFlagRelu = 1;
inline constexpr uint32_t kFlagBias = 2;
inline constexpr uint32_t kFlagResidual = 4;

constexpr uint64_t align_up(uint64_t value) { return (value + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace posefix::plan

// What the reader and the writer of plan_file.h share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace posefix::plan {

inline constexpr std::array<char, 8> kMagic{'P', 'F', 'X', 'P', 'L', 'A', 'N', '\x1A'};
inline constexpr size_t kSections = 5;       // of version 1
inline constexpr size_t kTunedSections = 6;  // of version 2
inline constexpr size_t kSectionRecord = 32;
inline constexpr size_t kTableOffset = 32;
inline constexpr size_t kChecksumOffset = 24;
inline constexpr uint64_t kAlignment = 64;

enum class Section : uint32_t { kMeta = 1, kTensors = 2, kWeights = 3, kSteps = 4, kData = 5, kTuning = 6 };

inline constexpr uint32_t kFlagRelu = 1;
inline constexpr uint32_t kFlagBias = 2;
inline constexpr uint32_t kFlagResidual = 4;

constexpr size_t header_bytes(size_t sections) { return kTableOffset + sections * kSectionRecord; }

constexpr uint64_t align_up(uint64_t value) { return (value + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace posefix::plan

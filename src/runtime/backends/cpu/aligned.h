// Memory that starts on a cache line.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace posefix::runtime::cpu {

struct AlignedDelete {
  void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

inline AlignedBytes allocate(size_t bytes) {
  return AlignedBytes(static_cast<std::byte*>(::operator new[](std::max<size_t>(bytes, 64), std::align_val_t{64})));
}

}  // namespace posefix::runtime::cpu

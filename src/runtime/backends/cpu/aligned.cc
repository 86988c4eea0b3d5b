#include "runtime/backends/cpu/aligned.h"

#include <algorithm>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace posefix::runtime::cpu {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kChunk = size_t{32} << 20;  // only what is written of it becomes memory

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

AlignedBytes allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const size_t size = rounded_up(std::max<size_t>(bytes, 1), kCacheLine);
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded_up(size, alignment)));
  if (memory == nullptr) throw std::bad_alloc();
#ifdef __linux__
  // The last huge page only if it is whole. Without huge pages nothing is lost.
  if (alignment == kHugePage) ::madvise(memory, size / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return AlignedBytes(memory);
}

std::byte* BlockStore::add(size_t bytes) {
  const size_t size = rounded_up(bytes, kCacheLine);
  if (size > left_) {
    left_ = std::max(rounded_up(size, kHugePage), kChunk);
    chunks_.push_back(allocate(left_));
    free_ = chunks_.back().get();
  }
  std::byte* block = free_;
  free_ += size;
  left_ -= size;
  return block;
}

}  // namespace posefix::runtime::cpu

// Bounds what a reader may hold: while a MemoryBound lives, the process aborts (a find) as soon as the bytes that were
// allocated since exceed kFactor times the input and a constant.
//
// The factor is what the smallest entries of the formats (a node of five bytes, a tensor's name) grow to as objects;
// the constant is what finding out a foreign graph's arithmetic may take (exporters/steps.h) and a decoded picture.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, size_t),
                                                         void (*free_hook)(const volatile void*));
extern "C" size_t __sanitizer_get_allocated_size(const volatile void* address);

namespace posefix::fuzz {

class MemoryBound {
 public:
  explicit MemoryBound(size_t input_bytes) {
    static const int installed = __sanitizer_install_malloc_and_free_hooks(&allocated, &freed);
    if (installed == 0) std::abort();
    held_ = 0;
    most_ = kConstant + kFactor * static_cast<int64_t>(input_bytes);
  }
  ~MemoryBound() { most_ = INT64_MAX; }
  MemoryBound(const MemoryBound&) = delete;
  MemoryBound& operator=(const MemoryBound&) = delete;

 private:
  static constexpr int64_t kConstant = int64_t{64} << 20;
  static constexpr int64_t kFactor = 64;

  static void allocated(const volatile void* /*address*/, size_t bytes) {
    held_ += static_cast<int64_t>(bytes);
    const int64_t most = most_;
    if (held_ <= most) return;
    most_ = INT64_MAX;
    std::fprintf(stderr, "more than %lld bytes are held, the last %zu of them by this allocation\n",
                 static_cast<long long>(most), bytes);
    std::abort();
  }
  static void freed(const volatile void* address) {
    if (address != nullptr) held_ -= static_cast<int64_t>(__sanitizer_get_allocated_size(address));
  }

  static inline std::atomic<int64_t> held_ = 0;
  static inline std::atomic<int64_t> most_ = INT64_MAX;
};

}  // namespace posefix::fuzz

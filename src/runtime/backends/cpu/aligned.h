// Memory for maps and weights: on cache lines, large blocks on huge pages where the system has them. A huge page costs
// one fault for 2 MB instead of one for 4 KB, which is most of what filling the weights would take, and one entry of
// the CPU's page table cache.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

namespace posefix::runtime::cpu {

struct AlignedDelete {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

// Not initialised. Throws std::bad_alloc.
AlignedBytes allocate(size_t bytes);

// Blocks that are given back all at once, close together: what is not used of a huge page's 2 MB is wasted once, not
// for every block.
class BlockStore {
 public:
  // On a cache line, not initialised.
  std::byte* add(size_t bytes);

 private:
  std::vector<AlignedBytes> chunks_;
  std::byte* free_ = nullptr;
  size_t left_ = 0;
};

}  // namespace posefix::runtime::cpu

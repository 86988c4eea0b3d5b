#include "torchgraph/device.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

namespace posefix::torchgraph {
namespace {

int64_t page_faults() {
  rusage usage{};
  EXPECT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_minflt;
}

// As every step of a training does. Above the largest size that malloc would come to keep by itself.
TEST(Device, FreedMemoryIsUsedAgainWithoutPageFaults) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer has a malloc of its own";
#endif
  constexpr int64_t kBytes = int64_t{64} << 20;
  keep_freed_memory();
  const auto use = [] { at::ones({kBytes / 4}, at::kFloat); };
  // glibc before 2.38 leaves a few bytes beside an aligned block in a cache for small ones, until that is full; so long
  // the block's place does not fit the next one.
  for (int i = 0; i < 16; ++i) use();
  const int64_t before = page_faults();
  use();
  EXPECT_LT(page_faults() - before, 1000);  // mapped anew it has 16384 pages
}

}  // namespace
}  // namespace posefix::torchgraph

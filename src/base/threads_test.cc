#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"

namespace posefix {
namespace {

TEST(ThreadPool, EveryIndexOnceWhateverTheThreads) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int repeat = 0; repeat < 200; ++repeat) {
      std::vector<int> seen(101);
      pool.parallel_for(101, 7, [&](int64_t begin, int64_t end) {
        EXPECT_LE(end - begin, 7);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      EXPECT_EQ(seen, std::vector<int>(101, 1));
    }
  }
}

TEST(ThreadPool, TheFirstExceptionReachesTheCallerAndThePoolLives) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.parallel_for(50, 1,
                                 [](int64_t begin, int64_t) {
                                   if (begin == 20) throw failed("chunk {}", begin);
                                 }),
               Error);
  std::atomic<int> count{0};
  pool.parallel_for(50, 1, [&](int64_t, int64_t) { ++count; });
  EXPECT_EQ(count, 50);
}

}  // namespace
}  // namespace posefix

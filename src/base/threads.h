// A small pool for data-parallel loops.
//
// Work is split into the same chunks whatever the number of threads, so results that are reduced per chunk do not
// depend on it. Not for long-lived stages: those own std::threads (sample/, refine/).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace posefix {

// Cores this process may run on (affinity and cgroup quota), at least 1.
int available_cores();

class ThreadPool {
 public:
  // `threads` includes the calling thread; 0 means available_cores().
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) over [0, count) in chunks of `grain`; blocks until done. The first exception that a
  // chunk throws is rethrown here. Not reentrant; one caller at a time.
  void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

 private:
  void work();
  void run_chunks();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  int64_t next_ = 0;
  int busy_ = 0;
  uint64_t generation_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
};

}  // namespace posefix

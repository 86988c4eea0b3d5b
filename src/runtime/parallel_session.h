// Several sessions of one model side by side, each on a thread of its own: more batches a second than one session that
// spreads every step over all threads, since nothing waits for the slowest at the end of each step. A single batch
// takes longer.
//
// A decorator around any backend whose sessions may run side by side. Answers are those of the sessions, in the order
// of the batches.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/session.h"

namespace posefix::runtime {

class ParallelSession : public Session {
 public:
  using OpenStream = std::function<std::unique_ptr<Session>(int64_t stream)>;

  // Opens stream 0 at once, the others with their first batch and on their own threads: `open` must be safe there.
  // streams >= 1.
  ParallelSession(OpenStream open, int64_t streams);
  ~ParallelSession() override;
  ParallelSession(const ParallelSession&) = delete;
  ParallelSession& operator=(const ParallelSession&) = delete;

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }
  int64_t max_in_flight() const override { return static_cast<int64_t>(streams_.size()); }
  void submit(const CropBatch& input, const RefinedBatch& output) override;
  void wait() override;
  // On stream 0, in the caller's thread; like the two below it, only while nothing is in flight.
  void run(const CropBatch& input, const RefinedBatch& output) override;
  std::vector<float> kept(const std::string& name) const override;
  std::vector<StepTime> measure_steps(const CropBatch& input, int rounds) override;

 private:
  struct Stream {
    std::unique_ptr<Session> session;
    CropBatch input;
    RefinedBatch output;
    bool is_busy = false;
    std::exception_ptr error;  // of the last batch
    std::thread thread;
  };
  void work(int64_t index);

  OpenStream open_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Stream> streams_;
  bool is_ending_ = false;
  size_t oldest_ = 0;  // stream of the oldest batch in flight
  size_t in_flight_ = 0;
  ModelInfo info_;
  int64_t max_batch_ = 0;
};

}  // namespace posefix::runtime

// Who of a job is still there: every process writes a sign of life into the job's store; when something between the
// processes breaks, the others read them and name whose fault it is.
//
// What can be told apart: a process that ended with an error (its message is passed on), one that gives no sign of
// life (killed, stopped, machine or network gone), one that lives but did not come to the meeting point in time (busy
// or stuck), and rank 0 itself gone, since it keeps the store.
// Invariant: the first verdict is everybody's verdict. Non-goals: ending other processes (the launcher does).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "train/process_group.h"

namespace posefix::train {

class RollCall {
 public:
  // Two connections of its own to the store, since one that waits blocks its other users: `writing` for the signs of
  // life, `reading` for verdicts.
  RollCall(StorePtr writing, StorePtr reading, int64_t rank, int64_t world, std::chrono::milliseconds timeout);
  // Stops the signs of life. Rank 0 waits, a few seconds at most, for those who still read the store.
  ~RollCall();
  RollCall(const RollCall&) = delete;
  RollCall& operator=(const RollCall&) = delete;

  // To be called on the way into every meeting of the processes.
  void enter() { ++entered_; }
  // Why the meeting failed: "rank 2: no sign of life for 5 s ...". Takes up to a few seconds. `what` is the error that
  // was seen here.
  std::string verdict(const std::string& what);
  // Leaves with an error of this process's own, for the others to report.
  void leave_with(const std::string& error);

 private:
  void beat();

  StorePtr writing_;
  StorePtr reading_;
  int64_t rank_;
  int64_t world_;
  std::chrono::milliseconds timeout_;
  std::chrono::milliseconds patience_;  // without a sign until a process counts as dead
  std::atomic<int64_t> entered_{0};
  bool broken_ = false;       // a verdict was asked for, or this process left with an error
  bool unreachable_ = false;  // the store does not answer
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace posefix::train

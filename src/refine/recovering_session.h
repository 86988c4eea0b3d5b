// A session that survives its device: after a failure it is opened anew, or another one takes over, and the batches
// that were in flight run again. Their inputs are still there, since nobody releases them before wait() has returned.
//
// Invariants: outputs come in the order of submit(), each exactly once. Bad input and interrupts are not recovered
// from.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "runtime/session.h"

namespace posefix::refine {

struct Recovery {
  // Opens what goes on after a failure. It must take the same batches: same crop and joints, max_batch no smaller.
  std::function<std::unique_ptr<runtime::Session>()> open;
  int attempts = 3;  // failures in a row before the last one is thrown
  std::function<void(const std::string& error)> on_failure = {};
};

class RecoveringSession : public runtime::Session {
 public:
  RecoveringSession(std::unique_ptr<runtime::Session> session, Recovery recovery);

  const runtime::ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }
  int64_t max_in_flight() const override { return max_in_flight_; }
  void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override;
  void submit(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override;
  void wait() override;

 private:
  struct Batch {
    runtime::CropBatch input;
    runtime::RefinedBatch output;
  };
  void submit_waiting();
  template <typename Work>
  void with_recovery(Work&& work);
  void recover(const Error& error);

  std::unique_ptr<runtime::Session> session_;
  Recovery recovery_;
  runtime::ModelInfo info_;  // of the first session: its references outlive a change
  int64_t max_batch_;
  int64_t max_in_flight_;
  std::deque<Batch> queue_;  // oldest first
  size_t submitted_ = 0;     // of queue_, given to session_
  int failures_ = 0;         // in a row
};

}  // namespace posefix::refine

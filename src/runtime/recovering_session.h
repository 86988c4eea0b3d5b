// A session that survives its device: on a failed run it opens the model again and repeats what was in flight, or goes
// on with another session.
//
// A decorator around any backend. Answers are the same as without a failure, up to the stand-in's precision. Bad input
// and interrupts pass through: only Error (failed) is answered. Non-goals: going back to the device after the stand-in
// took over.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "runtime/session.h"

namespace posefix::runtime {

using OpenSession = std::function<std::unique_ptr<Session>()>;

struct RecoveryOptions {
  int retries = 0;  // times in a row that the model is opened again for the same batches
  // Opened for batches of that size when the retries are used up; empty: the error is thrown.
  std::function<std::unique_ptr<Session>(int64_t max_batch)> stand_in;
  std::function<void(const std::string&)> log;  // a line for every step
};

class RecoveringSession : public Session {
 public:
  // Opens the first session at once; its errors are thrown.
  RecoveringSession(OpenSession open, RecoveryOptions options);

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }
  int64_t max_in_flight() const override { return max_in_flight_; }
  void run(const CropBatch& input, const RefinedBatch& output) override;
  void submit(const CropBatch& input, const RefinedBatch& output) override;
  void wait() override;

 private:
  struct Batch {
    CropBatch input;
    RefinedBatch output;
    bool is_done = false;  // by a repetition
  };
  void recover(std::string error);
  // Runs every batch in flight, one by one.
  void repeat(Session& session);
  void stand_in(const std::string& error);
  void say(const std::string& line) const;

  OpenSession open_;
  RecoveryOptions options_;
  std::unique_ptr<Session> session_;
  bool is_stand_in_ = false;
  ModelInfo info_;
  int64_t max_batch_ = 0;
  int64_t max_in_flight_ = 1;
  std::deque<Batch> in_flight_;
};

}  // namespace posefix::runtime

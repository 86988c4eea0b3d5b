#include "refine/recovering_session.h"

#include <utility>

namespace posefix::refine {

RecoveringSession::RecoveringSession(std::unique_ptr<runtime::Session> session, Recovery recovery)
    : session_(std::move(session)),
      recovery_(std::move(recovery)),
      info_(session_->info()),
      max_batch_(session_->max_batch()),
      max_in_flight_(session_->max_in_flight()) {}

void RecoveringSession::run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) {
  submit(input, output);
  wait();
}

void RecoveringSession::submit(const runtime::CropBatch& input, const runtime::RefinedBatch& output) {
  queue_.push_back({input, output});
  with_recovery([&] { submit_waiting(); });
}

void RecoveringSession::wait() {
  PFX_CHECK(!queue_.empty());
  with_recovery([&] {
    submit_waiting();
    session_->wait();
  });
  queue_.pop_front();
  --submitted_;
  failures_ = 0;
}

// As many as the session takes at a time; one that took over may take fewer than the first.
void RecoveringSession::submit_waiting() {
  const auto room = static_cast<size_t>(session_->max_in_flight());
  while (submitted_ < queue_.size() && submitted_ < room) {
    session_->submit(queue_[submitted_].input, queue_[submitted_].output);
    ++submitted_;
  }
}

template <typename Work>
void RecoveringSession::with_recovery(Work&& work) {
  for (;;) {
    try {
      work();
      return;
    } catch (const Error& error) {
      recover(error);
    }
  }
}

void RecoveringSession::recover(const Error& error) {
  submitted_ = 0;
  if (error.code() != ErrorCode::kFailed || ++failures_ > recovery_.attempts) {
    queue_.clear();
    throw error;
  }
  if (recovery_.on_failure) recovery_.on_failure(error.what());
  session_.reset();
  session_ = recovery_.open();
  const runtime::ModelInfo& info = session_->info();
  if (info.height != info_.height || info.width != info_.width || info.joints != info_.joints ||
      session_->max_batch() < max_batch_) {
    queue_.clear();
    throw bad_input(
        "the model that takes over after a failure has crops of {}x{}, {} joints and batches of up to {}; expected "
        "{}x{}, "
        "{} and {}",
        info.height, info.width, info.joints, session_->max_batch(), info_.height, info_.width, info_.joints,
        max_batch_);
  }
}

}  // namespace posefix::refine

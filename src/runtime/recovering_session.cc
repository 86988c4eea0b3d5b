#include "runtime/recovering_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace posefix::runtime {

RecoveringSession::RecoveringSession(OpenSession open, RecoveryOptions options)
    : open_(std::move(open)), options_(std::move(options)), session_(open_()), info_(session_->info()) {
  max_batch_ = session_->max_batch();
  max_in_flight_ = session_->max_in_flight();
}

void RecoveringSession::run(const CropBatch& input, const RefinedBatch& output) {
  submit(input, output);
  while (!in_flight_.empty()) wait();
}

void RecoveringSession::submit(const CropBatch& input, const RefinedBatch& output) {
  PFX_CHECK(static_cast<int64_t>(in_flight_.size()) < max_in_flight_);
  in_flight_.push_back({input, output});
  try {
    session_->submit(input, output);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kFailed) {
      in_flight_.clear();
      throw;
    }
    recover(error.what());
  }
}

void RecoveringSession::wait() {
  if (in_flight_.empty()) return;
  if (!in_flight_.front().is_done) {
    try {
      session_->wait();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kFailed) {
        in_flight_.clear();
        throw;
      }
      recover(error.what());
    }
  }
  in_flight_.pop_front();
}

void RecoveringSession::recover(std::string error) {
  for (int attempt = 1; !is_stand_in_ && attempt <= options_.retries; ++attempt) {
    say(fmt::format("{}; opening the model again, attempt {} of {}", error, attempt, options_.retries));
    session_.reset();
    try {
      session_ = open_();
      repeat(*session_);
      return;
    } catch (const Error& next) {
      if (next.code() == ErrorCode::kInterrupted) throw;
      error = next.what();
    }
  }
  stand_in(error);
}

void RecoveringSession::stand_in(const std::string& error) {
  if (is_stand_in_ || !options_.stand_in) {
    in_flight_.clear();
    throw failed("{}", error);
  }
  is_stand_in_ = true;
  session_.reset();
  session_ = options_.stand_in(max_batch_);
  const ModelInfo& info = session_->info();
  if (info.height != info_.height || info.width != info_.width || info.joints != info_.joints ||
      session_->max_batch() < max_batch_) {
    in_flight_.clear();
    throw failed("{}; the stand-in is another network ({}x{}, {} joints)", error, info.height, info.width, info.joints);
  }
  say(fmt::format("{}; going on with the {} backend", error, info.backend));
  repeat(*session_);
}

void RecoveringSession::repeat(Session& session) {
  for (Batch& batch : in_flight_) {
    if (!batch.is_done) session.run(batch.input, batch.output);
    batch.is_done = true;
  }
}

void RecoveringSession::say(const std::string& line) const {
  if (options_.log) options_.log(line);
}

}  // namespace posefix::runtime

#include "runtime/parallel_session.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace posefix::runtime {

ParallelSession::ParallelSession(OpenStream open, int64_t streams)
    : open_(std::move(open)), streams_(static_cast<size_t>(streams)) {
  PFX_CHECK(streams >= 1);
  streams_[0].session = open_(0);
  info_ = streams_[0].session->info();
  max_batch_ = streams_[0].session->max_batch();
  for (int64_t i = 0; i < streams; ++i) {
    streams_[static_cast<size_t>(i)].thread = std::thread([this, i] { work(i); });
  }
}

ParallelSession::~ParallelSession() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  for (Stream& stream : streams_) stream.thread.join();
}

void ParallelSession::work(int64_t index) {
  Stream& stream = streams_[static_cast<size_t>(index)];
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_ending_ || stream.is_busy; });
    if (!stream.is_busy) return;
    lock.unlock();
    std::exception_ptr error;
    try {
      if (!stream.session) stream.session = open_(index);
      stream.session->run(stream.input, stream.output);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    stream.error = error;
    stream.is_busy = false;
    changed_.notify_all();
  }
}

void ParallelSession::submit(const CropBatch& input, const RefinedBatch& output) {
  const std::lock_guard<std::mutex> lock(mutex_);
  PFX_CHECK(in_flight_ < streams_.size());
  Stream& stream = streams_[(oldest_ + in_flight_) % streams_.size()];
  stream.input = input;
  stream.output = output;
  stream.is_busy = true;
  ++in_flight_;
  changed_.notify_all();
}

void ParallelSession::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (in_flight_ == 0) return;
  Stream& stream = streams_[oldest_];
  changed_.wait(lock, [&] { return !stream.is_busy; });
  oldest_ = (oldest_ + 1) % streams_.size();
  --in_flight_;
  if (!stream.error) return;
  changed_.wait(lock,
                [&] { return std::none_of(streams_.begin(), streams_.end(), [](auto& s) { return s.is_busy; }); });
  in_flight_ = 0;
  std::rethrow_exception(std::exchange(stream.error, nullptr));
}

void ParallelSession::run(const CropBatch& input, const RefinedBatch& output) {
  PFX_CHECK(in_flight_ == 0);
  streams_[0].session->run(input, output);
}

std::vector<float> ParallelSession::kept(const std::string& name) const { return streams_[0].session->kept(name); }

std::vector<StepTime> ParallelSession::measure_steps(const CropBatch& input, int rounds) {
  PFX_CHECK(in_flight_ == 0);
  return streams_[0].session->measure_steps(input, rounds);
}

}  // namespace posefix::runtime

#include "refine/crop_feed.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"

namespace posefix::refine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

size_t index_of(int64_t value) { return static_cast<size_t>(value); }

}  // namespace

CropFeed::CropFeed(const FeedOptions& options, const pose::Skeleton& skeleton, PictureSource pictures,
                   std::span<const Person> people, std::span<pose::Box> crop_boxes, std::span<float> input_pose)
    : options_(options),
      skeleton_(skeleton),
      flip_permutation_(skeleton.flip_permutation()),
      pictures_(std::move(pictures)),
      people_(people),
      crop_boxes_(crop_boxes),
      input_pose_(input_pose),
      rows_per_person_(options.flip ? 2 : 1),
      rows_(static_cast<int64_t>(people.size()) * rows_per_person_),
      capacity_((options.lent_batches + 2) * options.batch_rows),
      crop_bytes_(int64_t{3} * options.size.height * options.size.width) {
  PFX_CHECK(options.batch_rows > 0);
  for (size_t i = 0; i < people.size(); ++i) {
    if (i == 0 || people[i].picture != people[i - 1].picture) tasks_.push_back({i, i});
    tasks_.back().end = i + 1;
  }
  ring_crops_.resize(index_of(capacity_ * crop_bytes_));
  ring_pose_.resize(index_of(capacity_) * 2 * flip_permutation_.size());
  ring_valid_.resize(index_of(capacity_) * flip_permutation_.size());
  row_ready_.resize(index_of(capacity_));
  const size_t threads = std::min(tasks_.size(), static_cast<size_t>(std::max(1, options.threads)));
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

CropFeed::~CropFeed() { stop(); }

void CropFeed::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  space_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

FeedTimes CropFeed::times() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return times_;
}

void CropFeed::work() {
  for (;;) {
    size_t task = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stop_ || error_ || next_task_ == tasks_.size()) return;
      task = next_task_++;
    }
    FeedTimes times;
    try {
      make_rows(tasks_[task], times);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_ || task < error_task_) {
        error_ = std::current_exception();
        error_task_ = task;
      }
      ready_.notify_all();
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    times_.decode_s += times.decode_s;
    times_.crop_s += times.crop_s;
  }
}

void CropFeed::make_rows(const Task& task, FeedTimes& times) {
  const Clock::time_point begin = Clock::now();
  const image::Image picture = pictures_(people_[task.first].picture);
  times.decode_s = seconds_since(begin);
  for (size_t i = task.first; i < task.end; ++i) {
    const int64_t row = static_cast<int64_t>(i) * rows_per_person_;
    if (!wait_for_space(row + rows_per_person_)) return;
    const Clock::time_point crop_begin = Clock::now();
    const pose::Box box = person_box(people_[i], skeleton_);
    const image::CropGeometry geometry = image::crop_geometry(box, options_.size, picture.width);
    crop_boxes_[i] = crop_box(geometry);
    write_rows(i, geometry, picture);
    times.crop_s += seconds_since(crop_begin);
    mark_ready(row, rows_per_person_);
  }
}

bool CropFeed::wait_for_space(int64_t end_row) {
  std::unique_lock<std::mutex> lock(mutex_);
  space_.wait(lock, [&] { return stop_ || end_row <= released_ + capacity_; });
  return !stop_;
}

void CropFeed::write_rows(size_t person, const image::CropGeometry& geometry, const image::Image& picture) {
  const size_t joints = flip_permutation_.size();
  const auto slot = [&](int64_t row) { return index_of(row % capacity_); };
  const auto crop = [&](int64_t row) {
    return std::span(ring_crops_).subspan(slot(row) * index_of(crop_bytes_), index_of(crop_bytes_));
  };
  const auto pose = [&](int64_t row) { return std::span(ring_pose_).subspan(slot(row) * 2 * joints, 2 * joints); };
  const auto valid = [&](int64_t row) { return std::span(ring_valid_).subspan(slot(row) * joints, joints); };

  const int64_t row = static_cast<int64_t>(person) * rows_per_person_;
  image::warp(picture, geometry, options_.size, crop(row));
  input_pose(people_[person], skeleton_, geometry, pose(row), valid(row));
  std::copy_n(pose(row).begin(), 2 * joints, input_pose_.begin() + static_cast<ptrdiff_t>(person * 2 * joints));
  if (!options_.flip) return;
  image::mirror(crop(row), options_.size, crop(row + 1));
  mirror_pose(pose(row), flip_permutation_, options_.size.width, pose(row + 1));
  for (size_t joint = 0; joint < joints; ++joint) {
    valid(row + 1)[joint] = valid(row)[static_cast<size_t>(flip_permutation_[joint])];
  }
}

void CropFeed::mark_ready(int64_t first_row, int64_t count) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (int64_t row = first_row; row < first_row + count; ++row) row_ready_[index_of(row % capacity_)] = 1;
  }
  ready_.notify_one();
}

runtime::CropBatch CropFeed::next(int64_t count) {
  PFX_CHECK(static_cast<int64_t>(lent_.size()) < options_.lent_batches);
  PFX_CHECK(count > 0 && count <= options_.batch_rows && lent_end_ + count <= rows_);
  const size_t first = index_of(lent_end_ % capacity_);
  std::unique_lock<std::mutex> lock(mutex_);
  ready_.wait(lock, [&] {
    if (error_) return true;
    return std::all_of(row_ready_.begin() + static_cast<ptrdiff_t>(first),
                       row_ready_.begin() + static_cast<ptrdiff_t>(first + index_of(count)),
                       [](uint8_t ready) { return ready != 0; });
  });
  if (error_) {
    std::exception_ptr error = error_;
    lock.unlock();
    stop();  // earlier pictures may still fail; the earliest one is reported
    {
      const std::lock_guard<std::mutex> again(mutex_);
      error = error_;
    }
    std::rethrow_exception(error);
  }
  lent_.push_back(count);
  lent_end_ += count;
  const size_t joints = flip_permutation_.size();
  const size_t rows = index_of(count);
  return {count, std::span(ring_crops_).subspan(first * index_of(crop_bytes_), rows * index_of(crop_bytes_)),
          std::span(ring_pose_).subspan(first * 2 * joints, rows * 2 * joints),
          std::span(ring_valid_).subspan(first * joints, rows * joints)};
}

void CropFeed::release() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    PFX_CHECK(!lent_.empty());
    for (int64_t row = released_; row < released_ + lent_.front(); ++row) row_ready_[index_of(row % capacity_)] = 0;
    released_ += lent_.front();
    lent_.pop_front();
  }
  space_.notify_all();
}

}  // namespace posefix::refine

// The stage ahead of the network: threads that decode pictures and fill rows of network input.
//
// A row is one run of the network on one person: the crop and pose, or their mirror image. Person i has row i, with the
// flip test rows 2i and 2i+1. Rows stand in a ring of some batches, so a batch lies contiguous and is handed out where
// it was written; no copy, no allocation per row. Every picture is decoded once for all its people. The order of rows
// does not depend on threads: they only decide when a row is ready.
// Invariants: pictures are begun in order, rows are consumed in order; so the oldest row always has a free place and
// the feed cannot lock up. One consumer. Non-goals: running the network.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "image/image.h"
#include "refine/person.h"
#include "runtime/session.h"

namespace posefix::refine {

// Yields picture `index`; called from several threads, once per picture.
using PictureSource = std::function<image::Image(size_t index)>;

struct FeedOptions {
  image::CropSize size{0, 0};
  int64_t batch_rows = 0;    // R, largest batch that will be asked for
  int64_t lent_batches = 1;  // that may be out at a time, between next() and release()
  bool flip = true;
  int threads = 1;
};

struct FeedTimes {
  double decode_s = 0;  // summed over threads
  double crop_s = 0;    // summed over threads
};

class CropFeed {
 public:
  // `people` must be grouped by picture (all people of a picture together) and outlive the feed, as must `skeleton`.
  // `crop_boxes` [people] and `input_pose` [people, K, 2] are filled as rows are made.
  CropFeed(const FeedOptions& options, const pose::Skeleton& skeleton, PictureSource pictures,
           std::span<const Person> people, std::span<pose::Box> crop_boxes, std::span<float> input_pose);
  ~CropFeed();
  CropFeed(const CropFeed&) = delete;
  CropFeed& operator=(const CropFeed&) = delete;

  int64_t rows() const { return rows_; }
  // Waits for the next `count` rows (the same `count` until the last, shorter batch). Valid until release(). Throws
  // what a thread threw, for the earliest picture that failed.
  runtime::CropBatch next(int64_t count);
  // The rows of the oldest next() that is out may be overwritten.
  void release();
  // Ends the threads; what they were doing is dropped. The destructor does the same.
  void stop();
  FeedTimes times();

 private:
  struct Task {  // one picture
    size_t first;
    size_t end;  // people [first, end)
  };
  void work();
  void make_rows(const Task& task, FeedTimes& times);
  bool wait_for_space(int64_t end_row);
  void write_rows(size_t person, const image::CropGeometry& geometry, const image::Image& picture);
  void mark_ready(int64_t first_row, int64_t count);

  FeedOptions options_;
  const pose::Skeleton& skeleton_;
  std::vector<int> flip_permutation_;
  PictureSource pictures_;
  std::span<const Person> people_;
  std::span<pose::Box> crop_boxes_;
  std::span<float> input_pose_;
  std::vector<Task> tasks_;
  int64_t rows_per_person_;
  int64_t rows_;
  int64_t capacity_;                 // rows of the ring, a multiple of batch_rows
  int64_t crop_bytes_;               // of a row
  std::vector<uint8_t> ring_crops_;  // [capacity,H,W,3]
  std::vector<float> ring_pose_;     // [capacity,K,2]
  std::vector<float> ring_valid_;    // [capacity,K]

  std::mutex mutex_;
  std::condition_variable ready_;   // rows became ready, or a thread failed
  std::condition_variable space_;   // rows were released, or stop
  std::vector<uint8_t> row_ready_;  // [capacity]
  int64_t released_ = 0;            // rows before this one are done
  std::deque<int64_t> lent_;        // rows of each batch that is out
  int64_t lent_end_ = 0;            // rows before this one were handed out
  size_t next_task_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  size_t error_task_ = 0;
  FeedTimes times_;
  std::vector<std::thread> threads_;
};

}  // namespace posefix::refine

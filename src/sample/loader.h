// Training batches from pictures and people, made ahead by threads.
//
// Invariants: batch s of rank r has the same bytes whatever the number of threads, the caches, the speed or the step
// that the loader was started at; memory is bounded by `prefetch` batches, the cache's budget and one picture a
// thread. The run's samples are numbered: step s holds samples [s * world * batch_size, (s + 1) * world * batch_size)
// in `parts` equal parts in a row (accumulated gradients), of each of which rank r makes the r-th share, so that a
// part is the same samples whatever the number of ranks; sample g belongs to epoch g / people and stands at position g
// % people of that epoch's order, so a batch may reach into the next epoch.
//
//   Loader loader(source, skeleton, errors, config);
//   loader.start(step);
//   for (;;) train(loader.next());
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataset/training_people.h"
#include "pose/skeleton.h"
#include "sample/appearance.h"
#include "sample/assembly.h"
#include "sample/augmentation.h"
#include "sample/picture_cache.h"
#include "sample/sample.h"
#include "sample/sample_order.h"
#include "synthesis/error_model.h"

namespace posefix::sample {

// People and the pictures that they are in.
struct SampleSource {
  std::vector<dataset::Person> people;          // near: positions in this list
  std::vector<std::filesystem::path> pictures;  // by Person::image
};

// Finds every picture that has people under `images`. Error (bad input) names the first that is missing, where it was
// looked for and what lies there.
SampleSource locate_samples(const dataset::CocoAnnotations& annotations, std::vector<dataset::Person> people,
                            const std::filesystem::path& images);
// Puts the people and pictures of another set behind those of `source`.
void append(SampleSource& source, SampleSource other);

struct LoaderConfig {
  image::CropSize crop{256, 192};
  int64_t batch_size = 32;  // of one rank
  uint64_t seed = 1;
  int threads = 0;  // 0: all cores
  int rank = 0;
  int world = 1;
  int64_t parts = 1;                       // of a batch; divides batch_size
  bool augment = true;                     // false: the plain crop; pose errors are drawn all the same
  AugmentationConfig augmentation;         //
  AppearanceConfig appearance;             //
  double estimate_share = 0;               // of samples whose input is the person's estimate, where there is one
  bool skip_corrupt = false;               // false: a picture that cannot be read ends the run
  int64_t block_pictures = 64;             // see sample_order.h
  size_t cache_bytes = size_t{256} << 20;  // decoded pictures kept
  int64_t prefetch = 3;                    // batches made ahead, the one in use included
  image::ExifOrientation orientation = image::ExifOrientation::kIgnore;
};

class Loader {
 public:
  // Error (bad input) when there are no people, or skeleton, errors and people do not fit together.
  Loader(SampleSource source, const pose::Skeleton& skeleton, const synthesis::ErrorModel& errors,
         const LoaderConfig& config);
  ~Loader();  // stops the threads; they finish the sample at hand
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t samples_per_epoch() const { return order_.samples_per_epoch(); }
  // Starts the threads at a step (from 0). Once.
  void start(int64_t step);
  // The next step's batch; valid until the next call. Throws what making it threw: that of its first sample that
  // failed.
  const Batch& next();

  // Seconds that next() waited so far, and the share of the time since start() that this is.
  double stalled_s() const { return stalled_s_; }
  double stall_share() const;
  // Pictures that were skipped since the last call, each reported once, with what is wrong.
  std::vector<std::string> take_reports();
  int64_t pictures_decoded() const { return cache_.decoded(); }

 private:
  struct Slot {
    Batch batch;
    int64_t step = -1;
    int64_t left = 0;                        // samples not yet made
    std::vector<std::exception_ptr> errors;  // by sample
  };
  void work();
  int64_t sample_index(int64_t step, int64_t row) const;
  void make_sample(SampleMaker& maker, Appearance& appearance, Batch& batch, int64_t step, int64_t row);
  const dataset::Person& person_at(int64_t sample, std::shared_ptr<const image::Image>& picture);
  Slot& slot_of(int64_t step) { return slots_[static_cast<size_t>(step % static_cast<int64_t>(slots_.size()))]; }
  void reset(Slot& slot, int64_t step);

  const SampleSource source_;
  const pose::Skeleton skeleton_;
  const synthesis::ErrorModel errors_;
  const LoaderConfig config_;
  SampleOrder order_;
  PictureCache cache_;

  std::mutex mutex_;  // guards what follows, except the batches' contents, which belong to who makes or reads them
  std::condition_variable made_;
  std::condition_variable room_;
  std::vector<Slot> slots_;
  int64_t next_step_ = 0;   // that next() returns
  int64_t claim_step_ = 0;  // of the next sample to make
  int64_t claim_row_ = 0;   //
  bool in_use_ = false;     // the caller holds the batch of next_step_ - 1
  bool started_ = false;
  bool stop_ = false;
  std::vector<std::string> reports_;
  std::vector<bool> reported_;  // by picture

  double stalled_s_ = 0;
  std::chrono::steady_clock::time_point began_;
  std::vector<std::thread> threads_;
};

}  // namespace posefix::sample

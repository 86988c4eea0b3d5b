// Pictures and poses in, better poses out: crop, network, flip test, back to the picture, suppression of duplicates.
//
// Threads decode and crop ahead (crop_feed.h) while the caller's thread runs the network. Results depend neither on the
// number of threads nor on the order in which pictures become ready; memory is bounded by the ring of crops and one
// picture per thread. Source: PoseFix_RELEASE main/test.py. Goldens: tests/golden/refine.
// Non-goals: files; see dataset/pose_results.h and selection.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "pose/skeleton.h"
#include "refine/crop_feed.h"
#include "refine/person.h"
#include "runtime/session.h"
#include "trust/trust.h"

namespace posefix::refine {

struct RefineOptions {
  bool flip = true;                           // the mean of the crop's and the mirrored crop's answer
  std::optional<double> nms_threshold = 0.9;  // OKS above which the pose with the lower score is dropped
  int decode_threads = 2;
  std::shared_ptr<const trust::Trust> trust = {};  // how far joints follow the answer; null: all the way
  bool spread = false;                             // fill Refined::spread_crop_px (with trust it is anyway)
};

// Where the time went; seconds. The caller's thread: inference + waiting + merge + other() is total. Beside it the
// decoding threads.
struct RefineTimes {
  double total = 0;
  double inference = 0;  // handing batches to the session and waiting for its answers
  double waiting = 0;    // for crops
  double starved = 0;    // of waiting: with nothing left for the session to do
  double merge = 0;      // flip merge, map back, suppression
  double decode = 0;     // summed over decoding threads
  double crop = 0;       // summed over decoding threads
  int64_t batches = 0;
  // Starting and ending threads, progress.
  double other() const { return total - inference - waiting - merge; }
};

// All people in the order given. N people, K joints.
struct Refined {
  int64_t joints = 0;                        // K
  std::vector<pose::Box> crop_boxes;         // [N] image_px
  std::vector<float> input_crop_px;          // [N,K,2] what the network was given
  std::vector<float> first_crop_px;          // [N,K,2] answer on the crop
  std::vector<float> mirrored_crop_px;       // [N,K,2] answer on the mirrored crop, mirrored back; empty without flip
  std::vector<float> mean_crop_px;           // [N,K,2]
  std::vector<float> spread_crop_px;         // [N,K] of both passes' heat maps together; empty unless asked for
  std::vector<double> coords_image_px;       // [N,K,2] with trust: moved as far as it says
  std::vector<double> uncertainty_image_px;  // [N,K] mean error to be expected; empty without trust
  std::vector<double> expected_oks;          // [N] what a person score should rank by; empty without trust
  std::vector<uint8_t> kept;                 // [N] 0: suppressed
  RefineTimes times;

  std::span<const double> coords(size_t person) const;       // [K,2] image_px
  std::span<const double> uncertainty(size_t person) const;  // [K] image_px
  // Crop px per image px of a person's crop.
  double crop_scale(size_t person, int64_t crop_width) const {
    return static_cast<double>(crop_width) / crop_boxes[person].w;
  }
};

class Refiner {
 public:
  // `session` is borrowed. Error (bad input) if the skeleton has another number of joints than the model, or if the
  // model gives no spread and it is needed.
  Refiner(runtime::Session& session, pose::Skeleton skeleton, const RefineOptions& options);

  // Called after every batch with the number of people done.
  using OnProgress = std::function<void(int64_t people)>;

  // `people` may be in any order; those of one picture are worked on together. Error (bad input) from the pictures,
  // Error (interrupted) after a signal.
  Refined run(const PictureSource& pictures, std::span<const Person> people, const OnProgress& on_progress = {});

  const pose::Skeleton& skeleton() const { return skeleton_; }

 private:
  bool wants_spread() const { return options_.spread || options_.trust; }
  // rows [rows,K,2] and, if it is wanted, spreads [rows,K].
  void run_batches(CropFeed& feed, std::span<float> rows, std::span<float> spreads, RefineTimes& times,
                   const OnProgress& on_progress);

  runtime::Session& session_;
  pose::Skeleton skeleton_;
  RefineOptions options_;
};

}  // namespace posefix::refine

// Draws a pose as an estimator might have got it wrong, for training: the synthesis of PoseFix.
//
// Source: PoseFix_RELEASE main/gen_batch.py; the algorithm in words and its statistics: tests/golden/synthesis. Works
// in any frame (crop_px in training, image_px for `posefix errors sample`) as long as `area` is in the same.
// Invariant: the result depends on the arguments and the generator's name alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "pose/keypoints.h"
#include "pose/skeleton.h"
#include "synthesis/error_model.h"
#include "synthesis/free_arcs.h"

namespace posefix::synthesis {

// One person as the synthesis sees it; borrowed. Scores are visibilities, 0 where a joint is not annotated or outside
// the crop.
struct PersonInFrame {
  std::span<const pose::Keypoint> gt;         // [K]
  std::span<const pose::Keypoint> estimated;  // [K]: stands in for joints that are not valid; empty if there is none
  std::span<const pose::Keypoints> near;      // overlapping people, each [K]
  double area = 0;                            // of the person's box, px^2
  int num_overlap = 0;                        // overlapping people
};

struct SynthesisedJoint {
  double x = 0;
  double y = 0;
  bool valid = false;                 // false: ignored slots, and joints without any place or candidate
  ErrorKind kind = ErrorKind::kGood;  // what was drawn; meaningless unless valid
  int source = 0;                     // place it was drawn at: 0 own, then swap, inversion, mirrored swap
};

// Holds the model with scratch memory: one per thread.
class PoseErrors {
 public:
  // Error (bad input) if model and skeleton have different joint counts. Both are copied.
  PoseErrors(const ErrorModel& model, const pose::Skeleton& skeleton);

  // `result` is [K].
  void synthesise(const PersonInFrame& person, Rng& rng, std::span<SynthesisedJoint> result);

 private:
  struct Point {
    double x, y;
  };
  // What a kind is drawn from: the places it may be drawn at with their weights, and what rejects a point.
  struct Proposal {
    const std::vector<double>* distances;  // quantiles, units of u
    bool outside_zones;                    // rejects by distance to other places (miss), else by nearness
    bool all_reject;                       // all other places reject, else only own place and mirror
    int candidates;                        // points that the reference tries at each place
  };
  struct Drawn {
    bool found = false;
    Point at{};
    int source = 0;
  };

  void collect_sources(const PersonInFrame& person, size_t joint, std::span<const SynthesisedJoint> result);
  ErrorKind draw_kind(const ErrorRates& rates, const std::array<bool, kErrorKinds>& gone, Rng& rng, bool& none) const;
  Drawn draw(ErrorKind kind, size_t joint, Rng& rng);
  bool set_places(ErrorKind kind);
  Drawn draw_nearest(ErrorKind kind, const Proposal& proposal, Rng& rng);
  Drawn draw_from_cells(ErrorKind kind, const Proposal& proposal, Rng& rng);
  Drawn draw_in_zones(ErrorKind kind, const std::vector<double>& distances, Rng& rng);
  bool is_rejected(const Proposal& proposal, int place, Point point, double r) const;
  void block_for(const Proposal& proposal, int place, double r);
  int pick_place(double position) const;
  double shift_weights(ErrorKind kind, int candidates);

  ErrorModel model_;
  std::vector<int> partner_;        // [K] mirror joint, itself if none
  std::vector<bool> ignored_;       // [K]
  std::vector<double> unit_scale_;  // [K] 2 sigma

  // Of the joint that is being drawn.
  double unit_ = 0;             // u = 2 sigma sqrt(area)
  std::vector<Point> sources_;  // own place, swap, inversion, mirrored swap
  int inversion_index_ = 1;     // index right after the swap sources, whether or not an inversion source is there
  bool has_inversion_ = false;
  std::vector<int> places_;      // sources that the kind is drawn at
  std::vector<double> weights_;  // of places_
  double weight_sum_ = 0;
  std::vector<double> cells_;  // [places][kRadii] free angle
  FreeArcs arcs_;
};

}  // namespace posefix::synthesis

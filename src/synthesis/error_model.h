// What errors pose estimators make: how often each joint is good, jittered, inverted, swapped or missed, and how far
// from the place it then lies. A table, read from a file or built in; pose_errors.h draws from it.
//
// Kinds after Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance pose estimation", ICCV 2017, by
// the similarity ks = exp(-d^2 / (2 u^2)) of one joint, u = 2 sigma sqrt(area):
//   good       ks >= 0.85 with its own place
//   jitter     0.5 <= ks < 0.85 with its own place
//   inversion  ks >= 0.5 with the place of the mirror joint
//   swap       ks >= 0.5 with the place of the joint or its mirror joint in another person
//   miss       none of these
//
// File (JSON), all distances in units of u:
//   {"format": "posefix-errors-1", "skeleton": "coco17", "rule": "nearest" | "zones",
//    "valid_limits": [5, 10, 15],    rows of the rate tables: at most 5 valid joints, 6..10, 11..15, more
//    "overlap_limits": [0, 2],       columns: no overlapping person, 1..2, more
//    "joints": {"nose": {"rates": {"jitter": [[row], ...], "miss": .., "inversion": .., "swap": ..},
//                        "distances": {"good": [q0, ..., qn], "jitter": .., ...}}, ...}}
// The rate of good is what the others leave. Distances are quantiles at equally spaced levels 0..1, at least two.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "pose/skeleton.h"

namespace posefix::synthesis {

enum class ErrorKind { kGood, kJitter, kInversion, kSwap, kMiss };
inline constexpr size_t kErrorKinds = 5;
std::string_view error_kind_name(ErrorKind kind);

// Radii at which ks is 0.85, 0.5 and 0.1, in units of u: sqrt(-2 ln ks).
inline constexpr double kRadiusGood = 0.5701209161182826;
inline constexpr double kRadiusJitter = 1.1774100225154747;
inline constexpr double kRadiusMiss = 2.145966026289347;

// How errors of one kind keep clear of the other kinds.
enum class PlacementRule {
  // As the reference: a point must be nearer to the place it was drawn at than to any other; misses are drawn around
  // every place; the mirror's place is where the mirror joint was already put when it has the lower index.
  kNearest,
  // By the definitions above, for measured tables: the distance is drawn first, then a direction in which the point
  // meets the definition of its kind and of no kind before it. Measuring the result returns the table.
  kZones,
};

struct ErrorRates {
  double jitter = 0;
  double miss = 0;
  double inversion = 0;
  double swap = 0;
};

struct JointErrors {
  std::vector<ErrorRates> rates;                           // [rows][columns], row-major
  std::array<std::vector<double>, kErrorKinds> distances;  // by kind: quantiles, units of u, ascending
};

struct ErrorModel {
  std::string skeleton;
  PlacementRule rule = PlacementRule::kNearest;
  std::vector<int> valid_limits;    // ascending; a person with n valid joints is in the first row with n <= limit
  std::vector<int> overlap_limits;  // likewise for the number of overlapping people
  std::vector<JointErrors> joints;  // [K]

  size_t columns() const { return overlap_limits.size() + 1; }
  size_t rows() const { return valid_limits.size() + 1; }
  // Index into JointErrors::rates.
  size_t cell(int num_valid, int num_overlap) const;

  // The table of the paper (PoseFix, CVPR 2019, supplement), by the joint's error_kinds row; distances uniform.
  // Error (bad input) names a row that the table does not have.
  static ErrorModel paper(const pose::Skeleton& skeleton);
  // Error (bad input) names file, field and joint.
  static ErrorModel load(const std::filesystem::path& path, const pose::Skeleton& skeleton);
  // "paper" or a path.
  static ErrorModel load_or_paper(const std::string& name_or_path, const pose::Skeleton& skeleton);
  void save(const std::filesystem::path& path, const pose::Skeleton& skeleton) const;
};

}  // namespace posefix::synthesis

// Directions from a point in which a step of given length stays clear of given discs or of the nearer side of other
// points: the part of the circle that no arc covers.
#pragma once

#include <vector>

namespace posefix::synthesis {

class FreeArcs {
 public:
  void clear() {
    blocked_.clear();
    all_blocked_ = false;
  }
  // Blocks the directions of steps of length r that end at most `radius` from a point at distance d in direction phi.
  void block_disc(double r, double d, double phi, double radius);
  // Blocks the directions of steps that end nearer to that point than r (or as near); nothing if d is 0.
  void block_nearer(double r, double d, double phi);

  // Sorts and merges; returns the free angle, 0 .. 2 pi.
  double measure();
  // The direction at `position` (0 .. measure()) along the free arcs. After measure().
  double direction(double position) const;

 private:
  struct Arc {
    double begin, end;
  };
  void block(double phi, double cosine);

  std::vector<Arc> blocked_;  // within [0, 2 pi], ascending and disjoint after measure()
  bool all_blocked_ = false;
};

}  // namespace posefix::synthesis

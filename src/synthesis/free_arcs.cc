#include "synthesis/free_arcs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace posefix::synthesis {
namespace {
constexpr double kTurn = 2 * std::numbers::pi;
}

// Directions whose cosine with phi is at least `cosine`.
void FreeArcs::block(double phi, double cosine) {
  if (cosine >= 1) return;
  if (cosine <= -1) {
    all_blocked_ = true;
    return;
  }
  const double half = std::acos(cosine);
  double begin = std::fmod(phi - half, kTurn);
  if (begin < 0) begin += kTurn;
  const double end = begin + 2 * half;
  if (end <= kTurn) {
    blocked_.push_back({begin, end});
  } else {
    blocked_.push_back({begin, kTurn});
    blocked_.push_back({0, end - kTurn});
  }
}

void FreeArcs::block_disc(double r, double d, double phi, double radius) {
  if (d * r <= 0) {
    if (std::max(d, r) <= radius) all_blocked_ = true;
    return;
  }
  block(phi, (d * d + r * r - radius * radius) / (2 * d * r));
}

void FreeArcs::block_nearer(double r, double d, double phi) {
  if (d <= 0 || r <= 0) return;
  block(phi, d / (2 * r));
}

double FreeArcs::measure() {
  if (all_blocked_) return 0;
  std::sort(blocked_.begin(), blocked_.end(), [](const Arc& a, const Arc& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (const Arc& arc : blocked_) {
    if (kept > 0 && arc.begin <= blocked_[kept - 1].end) {
      blocked_[kept - 1].end = std::max(blocked_[kept - 1].end, arc.end);
    } else {
      blocked_[kept++] = arc;
    }
  }
  blocked_.resize(kept);
  double free = kTurn;
  for (const Arc& arc : blocked_) free -= arc.end - arc.begin;
  return std::max(0.0, free);
}

double FreeArcs::direction(double position) const {
  for (const Arc& arc : blocked_) {
    if (position < arc.begin) return position;
    position += arc.end - arc.begin;
  }
  return position;
}

}  // namespace posefix::synthesis

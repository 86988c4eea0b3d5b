// Why few draws give the reference's distribution.
//
// The reference draws, for every kind of error, hundreds of points around each place (radius and angle uniform),
// keeps those that no other place rejects, picks one of the kept at random, and then draws the kind from the table
// with the kinds that kept nothing left out.
//
// 1. Candidates of one place are independent and alike, so a random one of the kept has the law of a candidate given
//    that it is kept, which is also the law of the first kept one. One accepted point is enough.
// 2. Which kinds kept something does not depend on which kind is drawn. So the kind is drawn first, and only if it
//    turns out to have no point it is left out and another is drawn: choosing from a set with probabilities in fixed
//    proportion is the same as choosing from a larger set until the choice lies in the smaller one.
// 3. A kind with several places (swap, miss) picks from one pool, so a place counts by its share of kept points: it is
//    proposed with its weight (1; for misses around other places 1/4) and accepted with its own probability, which
//    makes exactly that product.
// 4. If kTries proposals are rejected, little room is left. Then the free angles at kRadii stratified radii around
//    every place are computed outright (free_arcs.h), which gives the acceptance a_p of each place. The reference finds
//    nothing in N points with probability prod (1 - a_p)^N; the kind is given up with that probability, divided by the
//    probability that the proposals failed; otherwise a radius is drawn in proportion to its free angle and a
//    direction uniformly in it.
// 5. The miss pool takes floor(n/4) of the n points kept at a place that is not the joint's own. For few points that
//    is less than n/4: step 4 weighs such a place by the mean of floor(n/4), n being Poisson with mean N a_p, and
//    calls misses unavailable when the own place has none and every other fewer than four. (The reference crashes
//    there.)
// So the work per joint is bounded: kTries points, then kRadii radii per place.
#include "synthesis/pose_errors.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace posefix::synthesis {
namespace {

constexpr int kTries = 12;
constexpr int kRadii = 24;
constexpr int kDistancesTried = 8;
constexpr double kTurn = 2 * std::numbers::pi;
constexpr int kCandidates = 500;       // of the reference, per place
constexpr int kGoodCandidates = 125;   //
constexpr int kMissCandidates = 2000;  //
constexpr double kMissWeight = 0.25;   // of places other than the joint's own

double quantile(const std::vector<double>& values, double level) {
  const double position = level * static_cast<double>(values.size() - 1);
  const size_t index = std::min(static_cast<size_t>(position), values.size() - 2);
  return values[index] + (position - static_cast<double>(index)) * (values[index + 1] - values[index]);
}

// P(n < 4) for n Poisson with the given mean.
double fewer_than_four(double mean) { return std::exp(-mean) * (1 + mean + mean * mean / 2 + mean * mean * mean / 6); }

// E floor(n / 4) for n Poisson: E n less E (n mod 4), the latter from the generating function at the fourth roots of 1.
double mean_of_quarter(double mean) {
  const double remainder = 1.5 - 0.5 * std::exp(-2 * mean) - std::exp(-mean) * (std::cos(mean) + std::sin(mean));
  return std::max(0.0, (mean - remainder) / 4);
}

}  // namespace

PoseErrors::PoseErrors(const ErrorModel& model, const pose::Skeleton& skeleton) : model_(model) {
  const size_t joints = skeleton.joints.size();
  if (model.joints.size() != joints || skeleton.sigmas.size() != joints) {
    throw bad_input("the table of pose errors is for {} joints ({}), the skeleton {} has {}", model.joints.size(),
                    model.skeleton, skeleton.name, joints);
  }
  for (size_t j = 0; j < joints; ++j) {
    partner_.push_back(static_cast<int>(j));
    ignored_.push_back(false);
    unit_scale_.push_back(2 * skeleton.sigmas[j]);
  }
  for (const auto& [left, right] : skeleton.flip_pairs) {
    partner_[static_cast<size_t>(left)] = right;
    partner_[static_cast<size_t>(right)] = left;
  }
  for (const int joint : skeleton.ignored) ignored_[static_cast<size_t>(joint)] = true;
}

void PoseErrors::synthesise(const PersonInFrame& person, Rng& rng, std::span<SynthesisedJoint> result) {
  const size_t joints = partner_.size();
  PFX_CHECK(person.gt.size() == joints && result.size() == joints);
  PFX_CHECK(person.estimated.empty() || person.estimated.size() == joints);
  const double root_area = std::sqrt(std::max(0.0, person.area));
  const auto num_valid = static_cast<int>(
      std::count_if(person.gt.begin(), person.gt.end(), [](const pose::Keypoint& k) { return k.score > 0; }));
  const size_t cell = model_.cell(num_valid, person.num_overlap);
  for (size_t j = 0; j < joints; ++j) {
    result[j] = {};
    if (ignored_[j] || (person.gt[j].score <= 0 && person.estimated.empty())) continue;
    unit_ = unit_scale_[j] * root_area;
    collect_sources(person, j, result);
    std::array<bool, kErrorKinds> gone{};
    for (bool none = false; !none && !result[j].valid;) {
      const ErrorKind kind = draw_kind(model_.joints[j].rates[cell], gone, rng, none);
      if (none) break;
      const Drawn drawn = draw(kind, j, rng);
      gone[static_cast<size_t>(kind)] = true;
      if (drawn.found) result[j] = {drawn.at.x, drawn.at.y, true, kind, drawn.source};
    }
  }
}

void PoseErrors::collect_sources(const PersonInFrame& person, size_t joint, std::span<const SynthesisedJoint> result) {
  const auto partner = static_cast<size_t>(partner_[joint]);
  const bool paired = partner != joint;
  sources_.clear();
  const pose::Keypoint& own = person.gt[joint].score > 0 ? person.gt[joint] : person.estimated[joint];
  sources_.push_back({own.x, own.y});
  for (const pose::Keypoints& other : person.near) {
    if (other[joint].score > 0) sources_.push_back({other[joint].x, other[joint].y});
  }
  inversion_index_ = static_cast<int>(sources_.size());
  has_inversion_ = paired && person.gt[partner].score > 0;
  if (has_inversion_) {
    const bool synthesised = model_.rule == PlacementRule::kNearest && partner < joint;
    sources_.push_back(synthesised ? Point{result[partner].x, result[partner].y}
                                   : Point{person.gt[partner].x, person.gt[partner].y});
  }
  if (!paired) return;
  for (const pose::Keypoints& other : person.near) {
    if (other[partner].score > 0) sources_.push_back({other[partner].x, other[partner].y});
  }
}

ErrorKind PoseErrors::draw_kind(const ErrorRates& rates, const std::array<bool, kErrorKinds>& gone, Rng& rng,
                                bool& none) const {
  std::array<double, kErrorKinds> chance{};
  chance[static_cast<size_t>(ErrorKind::kGood)] =
      std::max(0.0, 1 - (rates.jitter + rates.miss + rates.inversion + rates.swap));
  chance[static_cast<size_t>(ErrorKind::kJitter)] = rates.jitter;
  chance[static_cast<size_t>(ErrorKind::kMiss)] = rates.miss;
  if (has_inversion_) chance[static_cast<size_t>(ErrorKind::kInversion)] = rates.inversion;
  const size_t swaps = sources_.size() - (has_inversion_ ? 2 : 1);
  if (swaps > 0) chance[static_cast<size_t>(ErrorKind::kSwap)] = rates.swap;
  double sum = 0;
  for (size_t kind = 0; kind < kErrorKinds; ++kind) {
    if (gone[kind]) chance[kind] = 0;
    sum += chance[kind];
  }
  none = sum <= 0;
  double position = rng.uniform() * sum;
  size_t last = 0;
  for (size_t kind = 0; kind < kErrorKinds; ++kind) {
    if (chance[kind] <= 0) continue;
    last = kind;
    if (position < chance[kind]) break;
    position -= chance[kind];
  }
  return static_cast<ErrorKind>(last);
}

bool PoseErrors::set_places(ErrorKind kind) {
  places_.clear();
  weights_.clear();
  const bool zones = model_.rule == PlacementRule::kZones;
  const auto add = [&](int place, double weight) {
    places_.push_back(place);
    weights_.push_back(weight);
  };
  const int count = static_cast<int>(sources_.size());
  switch (kind) {
    case ErrorKind::kGood:
    case ErrorKind::kJitter:
      add(0, 1);
      break;
    case ErrorKind::kInversion:
      if (has_inversion_) add(inversion_index_, 1);
      break;
    case ErrorKind::kSwap:
      // The reference takes the place after the swap sources for the inversion's even when there is none.
      for (int i = 1; i < count; ++i) {
        if (i != inversion_index_ || (zones && !has_inversion_)) add(i, 1);
      }
      break;
    case ErrorKind::kMiss:
      add(0, 1);
      for (int i = 1; i < count && !zones; ++i) add(i, kMissWeight);
      break;
  }
  weight_sum_ = 0;
  for (const double weight : weights_) weight_sum_ += weight;
  return !places_.empty();
}

int PoseErrors::pick_place(double position) const {
  position *= weight_sum_;
  for (size_t i = 0; i + 1 < places_.size(); ++i) {
    if (position < weights_[i]) return static_cast<int>(i);
    position -= weights_[i];
  }
  return static_cast<int>(places_.size()) - 1;
}

PoseErrors::Drawn PoseErrors::draw(ErrorKind kind, size_t joint, Rng& rng) {
  if (!set_places(kind)) return {};
  const std::vector<double>& distances = model_.joints[joint].distances[static_cast<size_t>(kind)];
  if (model_.rule == PlacementRule::kZones) return draw_in_zones(kind, distances, rng);
  const bool miss = kind == ErrorKind::kMiss;
  const int candidates = miss ? kMissCandidates : kind == ErrorKind::kGood ? kGoodCandidates : kCandidates;
  return draw_nearest(kind, {&distances, miss, kind != ErrorKind::kSwap, candidates}, rng);
}

bool PoseErrors::is_rejected(const Proposal& proposal, int place, Point point, double r) const {
  const Point& own = sources_[static_cast<size_t>(place)];
  const double limit = proposal.outside_zones ? kRadiusJitter * unit_ : r;
  for (int i = 0; i < static_cast<int>(sources_.size()); ++i) {
    if (i == place || (!proposal.all_reject && i != 0 && i != inversion_index_)) continue;
    const Point& other = sources_[static_cast<size_t>(i)];
    // Of two places in one, neither is nearer.
    if (!proposal.outside_zones && other.x == own.x && other.y == own.y) continue;
    const double dx = point.x - other.x;
    const double dy = point.y - other.y;
    if (dx * dx + dy * dy <= limit * limit) return true;
  }
  return false;
}

PoseErrors::Drawn PoseErrors::draw_nearest(ErrorKind kind, const Proposal& proposal, Rng& rng) {
  for (int tried = 0; tried < kTries; ++tried) {
    const int place = places_[static_cast<size_t>(places_.size() == 1 ? 0 : pick_place(rng.uniform()))];
    const double r = quantile(*proposal.distances, rng.uniform()) * unit_;
    const double angle = kTurn * rng.uniform();
    const Point& center = sources_[static_cast<size_t>(place)];
    const Point point{center.x + r * std::cos(angle), center.y + r * std::sin(angle)};
    if (!is_rejected(proposal, place, point, r)) return {true, point, place};
  }
  return draw_from_cells(kind, proposal, rng);
}

void PoseErrors::block_for(const Proposal& proposal, int place, double r) {
  arcs_.clear();
  const Point& center = sources_[static_cast<size_t>(place)];
  for (int i = 0; i < static_cast<int>(sources_.size()); ++i) {
    if (i == place || (!proposal.all_reject && i != 0 && i != inversion_index_)) continue;
    const double dx = sources_[static_cast<size_t>(i)].x - center.x;
    const double dy = sources_[static_cast<size_t>(i)].y - center.y;
    const double d = std::hypot(dx, dy);
    const double phi = std::atan2(dy, dx);
    if (proposal.outside_zones) {
      arcs_.block_disc(r, d, phi, kRadiusJitter * unit_);
    } else {
      arcs_.block_nearer(r, d, phi);
    }
  }
}

// Turns weights_ into shares of the reference's pool; returns the probability that it is not empty, given that kTries
// proposals failed.
double PoseErrors::shift_weights(ErrorKind kind, int candidates) {
  double tried_free = 0;
  double empty = 1;
  double shares = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    double free = 0;
    for (size_t m = 0; m < kRadii; ++m) free += cells_[i * kRadii + m];
    free = std::min(1.0, free / (kRadii * kTurn));
    tried_free += weights_[i] / weight_sum_ * free;
    if (kind == ErrorKind::kMiss && places_[i] != 0) {
      empty *= fewer_than_four(candidates * free);
      weights_[i] = mean_of_quarter(candidates * free);
    } else {
      empty *= std::pow(1 - free, candidates);
      weights_[i] = candidates * free;
    }
    shares += weights_[i];
  }
  weight_sum_ = shares;
  const double failed = std::pow(1 - std::min(1.0, tried_free), kTries);
  return shares > 0 && failed > 0 ? std::clamp(1 - empty / failed, 0.0, 1.0) : 0;
}

PoseErrors::Drawn PoseErrors::draw_from_cells(ErrorKind kind, const Proposal& proposal, Rng& rng) {
  std::array<double, kRadii> radii{};
  for (int m = 0; m < kRadii; ++m) {
    radii[static_cast<size_t>(m)] = quantile(*proposal.distances, (m + rng.uniform()) / kRadii) * unit_;
  }
  cells_.clear();
  for (const int place : places_) {
    for (const double r : radii) {
      block_for(proposal, place, r);
      cells_.push_back(arcs_.measure());
    }
  }
  const double available = shift_weights(kind, proposal.candidates);
  if (!(rng.uniform() < available)) return {};
  const auto chosen = static_cast<size_t>(pick_place(rng.uniform()));
  const double* cells = cells_.data() + chosen * kRadii;
  double sum = 0;
  for (size_t m = 0; m < kRadii; ++m) sum += cells[m];
  if (sum <= 0) return {};
  double position = rng.uniform() * sum;
  size_t m = 0;
  while (m + 1 < kRadii && position >= cells[m]) position -= cells[m++];
  while (cells[m] <= 0) --m;  // rounding at the very end
  const int place = places_[chosen];
  block_for(proposal, place, radii[m]);
  const double angle = arcs_.direction(rng.uniform() * arcs_.measure());
  const Point& center = sources_[static_cast<size_t>(place)];
  return {true, {center.x + radii[m] * std::cos(angle), center.y + radii[m] * std::sin(angle)}, place};
}

PoseErrors::Drawn PoseErrors::draw_in_zones(ErrorKind kind, const std::vector<double>& distances, Rng& rng) {
  const bool own_blocks = kind == ErrorKind::kInversion || kind == ErrorKind::kSwap;
  const double zone = kRadiusJitter * unit_;
  for (int tried = 0; tried <= kDistancesTried; ++tried) {
    const int place = places_[static_cast<size_t>(pick_place(rng.uniform()))];
    // At last just within the rim of the zone, of which a part sticks out of another zone: on the rim itself, rounding
    // a coordinate could make another kind of it.
    const double r = (tried < kDistancesTried ? quantile(distances, rng.uniform()) : 0.999 * kRadiusJitter) * unit_;
    const Point& center = sources_[static_cast<size_t>(place)];
    arcs_.clear();
    for (int i = 0; i < static_cast<int>(sources_.size()); ++i) {
      const bool mirror_blocks = kind == ErrorKind::kSwap && has_inversion_ && i == inversion_index_;
      if (i == place || !(kind == ErrorKind::kMiss || (own_blocks && i == 0) || mirror_blocks)) continue;
      const double dx = sources_[static_cast<size_t>(i)].x - center.x;
      const double dy = sources_[static_cast<size_t>(i)].y - center.y;
      arcs_.block_disc(r, std::hypot(dx, dy), std::atan2(dy, dx), zone);
    }
    const double free = arcs_.measure();
    if (free <= 0) continue;
    const double angle = arcs_.direction(rng.uniform() * free);
    return {true, {center.x + r * std::cos(angle), center.y + r * std::sin(angle)}, place};
  }
  return {};
}

}  // namespace posefix::synthesis

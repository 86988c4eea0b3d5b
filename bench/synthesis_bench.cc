// folders: synthesis
// Synthesised poses per second on one core, crowded and alone, against the reference's (its loop, numpy 1.23, this
// kind of machine: 50 to 80 poses/s).
#include <fmt/format.h>

#include <cstdio>
#include <ctime>

#include "pose/skeleton.h"
#include "synthesis/pose_errors.h"

namespace {

using namespace posefix;
constexpr double kReferencePerSecond = 80;

// CPU time, so that a busy machine does not count.
double now_s() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

pose::Keypoints random_pose(Rng& rng, double shift) {
  pose::Keypoints joints;
  for (int j = 0; j < 17; ++j) {
    joints.push_back({shift + rng.uniform(40, 150), rng.uniform(20, 230), rng.uniform() < 0.2 ? 0.0 : 2.0});
  }
  return joints;
}

void measure(const char* name, synthesis::PlacementRule rule, int neighbours) {
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  synthesis::ErrorModel model = synthesis::ErrorModel::paper(skeleton);
  model.rule = rule;
  synthesis::PoseErrors errors(model, skeleton);
  Rng setup(1, 0, 0);
  const pose::Keypoints gt = random_pose(setup, 0);
  const pose::Keypoints estimated = random_pose(setup, 0);
  std::vector<pose::Keypoints> near;
  for (int i = 0; i < neighbours; ++i) near.push_back(random_pose(setup, 20.0 * i));
  std::vector<synthesis::SynthesisedJoint> drawn(17);
  const double begin = now_s();
  double seconds = 0;
  uint64_t poses = 0;
  while (seconds < 1) {
    for (int i = 0; i < 1000; ++i) {
      Rng rng(1, 0, poses++);
      errors.synthesise({gt, estimated, near, 15000, neighbours}, rng, drawn);
    }
    seconds = now_s() - begin;
  }
  const double rate = static_cast<double>(poses) / seconds;
  fmt::print("{:<28}{:>12.0f} poses/s{:>10.0f} x reference{:>8.1f} x aim (50,000)\n", name, rate,
             rate / kReferencePerSecond, rate / 50000);
}

}  // namespace

int main() {
  using synthesis::PlacementRule;
  measure("paper, alone", PlacementRule::kNearest, 0);
  measure("paper, 1 neighbour", PlacementRule::kNearest, 1);
  measure("paper, 3 neighbours", PlacementRule::kNearest, 3);
  measure("paper, 10 neighbours", PlacementRule::kNearest, 10);
  measure("measured table, 1 neighbour", PlacementRule::kZones, 1);
}

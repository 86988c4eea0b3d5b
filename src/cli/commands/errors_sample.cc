// posefix errors sample: poses as an estimator with given errors might have found them.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/synthesised_poses.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "pose/skeleton.h"

namespace posefix::cli {
namespace {

struct Flags {
  std::string annotations;
  std::string errors = "paper";
  std::string out;
  std::string skeleton = "coco17";
  uint64_t seed = 1;
};

void run(const Flags& flags) {
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  dataset::AnnotationReadOptions options;
  options.joints = skeleton.size();
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(flags.annotations, options);
  const std::vector<dataset::PoseResult> results = synthesised_poses(annotations, skeleton, flags.errors, flags.seed);
  dataset::write_pose_results(flags.out, results);
  std::fputs(fmt::format("posefix: wrote {0} poses of {0} people to {1}\n", results.size(), flags.out).c_str(), stderr);
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations, "COCO keypoint annotations (JSON)")->required();
  app.add_option("--errors", flags->errors, "error statistics from `errors fit`, or paper")->capture_default_str();
  app.add_option("--out", flags->out, "poses to write (COCO keypoint results)")->required();
  app.add_option("--seed", flags->seed, "same seed, same poses")->capture_default_str()->check(CLI::NonNegativeNumber);
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file")->capture_default_str();
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"errors sample", "draw poses with the errors of an estimator", &setup};

}  // namespace
}  // namespace posefix::cli

// posefix errors sample: poses as an estimator with given errors might have found them.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/rng.h"
#include "cli/command.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "dataset/training_people.h"
#include "pose/skeleton.h"
#include "synthesis/pose_errors.h"

namespace posefix::cli {
namespace {

struct Flags {
  std::string annotations;
  std::string errors = "paper";
  std::string out;
  std::string skeleton = "coco17";
  uint64_t seed = 1;
};

dataset::PoseResult result_of(const dataset::CocoAnnotations& annotations, const dataset::Person& person,
                              std::span<const synthesis::SynthesisedJoint> drawn) {
  const dataset::Annotation& annotation = annotations.annotations[person.annotation];
  dataset::PoseResult result;
  result.image_id = annotation.image_id;
  result.category_id = annotation.category_id;
  result.bbox = annotation.bbox;
  result.score = 1;
  const std::string& file_name = annotations.images[person.image].file_name;
  if (!file_name.empty()) result.file_name = file_name;
  for (const synthesis::SynthesisedJoint& joint : drawn) {
    result.keypoints.push_back({joint.x, joint.y, joint.valid ? 1.0 : 0.0});
  }
  return result;
}

void run(const Flags& flags) {
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  synthesis::PoseErrors errors(synthesis::ErrorModel::load_or_paper(flags.errors, skeleton), skeleton);
  dataset::AnnotationReadOptions options;
  options.joints = skeleton.size();
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(flags.annotations, options);
  const std::vector<dataset::Person> people = dataset::training_people(annotations, nullptr);
  if (people.empty()) {
    throw bad_input("{}: no annotation has a labelled joint, an area and a box, so there is nobody to draw poses of",
                    flags.annotations);
  }
  std::vector<dataset::PoseResult> results;
  std::vector<synthesis::SynthesisedJoint> drawn(skeleton.joints.size());
  for (const dataset::Person& person : people) {
    std::vector<pose::Keypoints> near;
    for (const size_t other : person.near) near.push_back(people[other].gt);
    Rng rng(flags.seed, 0, person.annotation);
    errors.synthesise({person.gt, {}, near, person.bbox.w * person.bbox.h, static_cast<int>(near.size())}, rng, drawn);
    results.push_back(result_of(annotations, person, drawn));
  }
  dataset::write_pose_results(flags.out, results);
  std::fputs(
      fmt::format("posefix: wrote {} poses of {} people to {}\n", results.size(), people.size(), flags.out).c_str(),
      stderr);
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations, "COCO keypoint annotations (JSON)")->required();
  app.add_option("--errors", flags->errors, "error statistics from `errors fit`, or paper")->capture_default_str();
  app.add_option("--out", flags->out, "poses to write (COCO keypoint results)")->required();
  app.add_option("--seed", flags->seed, "same seed, same poses")->capture_default_str();
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file")->capture_default_str();
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"errors sample", "draw poses with the errors of an estimator", &setup};

}  // namespace
}  // namespace posefix::cli

#include "cli/synthesised_poses.h"

#include "base/error.h"
#include "base/rng.h"
#include "dataset/training_people.h"
#include "synthesis/pose_errors.h"

namespace posefix::cli {
namespace {

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

}  // namespace

std::vector<dataset::PoseResult> synthesised_poses(const dataset::CocoAnnotations& annotations,
                                                   const pose::Skeleton& skeleton, const std::string& errors_file,
                                                   uint64_t seed) {
  synthesis::PoseErrors errors(synthesis::ErrorModel::load_or_paper(errors_file, skeleton), skeleton);
  const std::vector<dataset::Person> people = dataset::training_people(annotations, nullptr);
  if (people.empty()) {
    throw bad_input("{}: no annotation has a labelled joint, an area and a box, so there is nobody to draw poses of",
                    annotations.path);
  }
  std::vector<dataset::PoseResult> results;
  std::vector<synthesis::SynthesisedJoint> drawn(skeleton.joints.size());
  for (const dataset::Person& person : people) {
    std::vector<pose::Keypoints> near;
    for (const size_t other : person.near) near.push_back(people[other].gt);
    Rng rng(seed, 0, person.annotation);
    errors.synthesise({person.gt, {}, near, person.bbox.w * person.bbox.h, static_cast<int>(near.size())}, rng, drawn);
    results.push_back(result_of(annotations, person, drawn));
  }
  return results;
}

}  // namespace posefix::cli

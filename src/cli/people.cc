#include "cli/people.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/rng.h"
#include "base/threads.h"
#include "cli/synthesised_poses.h"
#include "evaluate/coco_keypoints.h"
#include "image/image.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> pictures_in(const std::string& flag, const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> pictures;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string extension = entry.path().extension().string();
    std::transform(extension.begin(), extension.end(), extension.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (std::set<std::string>{".jpg", ".jpeg", ".png"}.contains(extension)) pictures.push_back(entry.path());
  }
  std::sort(pictures.begin(), pictures.end());
  if (pictures.empty()) throw bad_input("{} {}: the folder holds no .jpg or .png pictures", flag, folder.string());
  return pictures;
}

}  // namespace

People drawn_people(const std::string& flag, const fs::path& pictures, size_t at_most, const pose::Skeleton& skeleton) {
  People people;
  people.selection.pictures = pictures_in(flag, pictures);
  people.selection.pictures.resize(std::min(people.selection.pictures.size(), at_most));
  people.drawn.resize(people.selection.pictures.size());
  for (size_t i = 0; i < people.drawn.size(); ++i) {
    const image::ImageHeader header = image::read_header(people.selection.pictures[i]);
    Rng rng(0, 0, i);
    for (int j = 0; j < skeleton.size(); ++j) {
      people.drawn[i].push_back({rng.uniform(0, header.width), rng.uniform(0, header.height), 1});
    }
    refine::Person person;
    person.picture = i;
    person.keypoints = &people.drawn[i];
    person.box = pose::Box{0, 0, static_cast<double>(header.width), static_cast<double>(header.height)};
    person.score = 1;
    people.selection.people.push_back(person);
  }
  return people;
}

People given_people(const fs::path& pictures, const fs::path& poses, const fs::path& annotations, size_t at_most,
                    const pose::Skeleton& skeleton) {
  People people;
  people.poses = dataset::read_pose_results(poses, {.joints = skeleton.size()});
  if (!annotations.empty()) {
    people.annotations =
        dataset::read_coco_annotations(annotations, {.joints = skeleton.size(), .require_area = false});
  }
  people.selection = refine::select(people.poses, pictures, people.annotations ? &*people.annotations : nullptr);
  // A part of the people says little about AP: the pictures' other people would count as missed.
  if (!people.annotations && people.selection.people.size() > at_most) {
    people.selection.people.resize(at_most);
    people.selection.entries.resize(at_most);
  }
  return people;
}

People annotated_people(const fs::path& pictures, const fs::path& annotations, const pose::Skeleton& skeleton) {
  People people;
  people.annotations = dataset::read_coco_annotations(annotations, {.joints = skeleton.size(), .require_area = false});
  std::erase_if(people.annotations->annotations, [&](const dataset::Annotation& annotation) {
    const dataset::AnnotatedImage* image = people.annotations->find_image(annotation.image_id);
    return image == nullptr || !fs::exists(pictures / image->file_name);
  });
  constexpr uint64_t kSeed = 1;
  people.poses.path = annotations.string();
  people.poses.entries = synthesised_poses(*people.annotations, skeleton, "paper", kSeed);
  people.selection = refine::select(people.poses, pictures, &*people.annotations);
  return people;
}

double average_precision(const People& people, const refine::Refined& refined, const pose::Skeleton& skeleton) {
  std::vector<dataset::PoseResult> results;
  for (size_t i = 0; i < people.selection.entries.size(); ++i) {
    if (refined.kept[i] == 0) continue;
    dataset::PoseResult result = people.poses.entries[people.selection.entries[i]];
    result.bbox.reset();
    const std::span<const double> coords = refined.coords(i);
    for (size_t j = 0; j < result.keypoints.size(); ++j) result.keypoints[j] = {coords[2 * j], coords[2 * j + 1], 1};
    results.push_back(std::move(result));
  }
  ThreadPool pool;
  const evaluate::Detections detections = evaluate::detections_of(results, skeleton.size());
  return evaluate::figures(evaluate::match(*people.annotations, detections, skeleton.sigmas, pool)).figures.ap;
}

}  // namespace posefix::cli

#include "dataset/training_people.h"

#include <algorithm>
#include <unordered_map>

namespace posefix::dataset {
namespace {

constexpr double kNearIou = 0.1;

bool is_kept(const Annotation& annotation) {
  if (annotation.iscrowd || annotation.num_keypoints <= 0 || !(annotation.area > 0)) return false;
  return std::any_of(annotation.keypoints.begin(), annotation.keypoints.end(),
                     [](const pose::Keypoint& joint) { return joint.score > 0; });
}

// The box that a train-set result is matched by.
pose::Box result_box(const PoseResult& result) {
  return result.bbox ? *result.bbox : pose::box_of_joints(result.keypoints, {}, 1);
}

std::optional<pose::Keypoints> best_estimate(const pose::Box& box, const PoseResults& estimated,
                                             const std::vector<size_t>& candidates) {
  double best = 0;
  const PoseResult* found = nullptr;
  for (const size_t index : candidates) {
    const double iou = training_iou(box, result_box(estimated.entries[index]));
    if (iou > best) {
      best = iou;
      found = &estimated.entries[index];
    }
  }
  if (found == nullptr) return std::nullopt;
  return found->keypoints;
}

}  // namespace

std::optional<pose::Box> clean_box(const pose::Box& box, int image_width, int image_height) {
  const double x1 = std::max(0.0, box.x);
  const double y1 = std::max(0.0, box.y);
  double x2 = x1 + std::max(0.0, box.w - 1);
  double y2 = y1 + std::max(0.0, box.h - 1);
  if (image_width > 0) x2 = std::min(x2, image_width - 1.0);
  if (image_height > 0) y2 = std::min(y2, image_height - 1.0);
  // The reference keeps a box of no extent and divides by it; such a person cannot be cropped.
  if (!(x2 > x1) || !(y2 > y1)) return std::nullopt;
  return pose::Box{x1, y1, x2 - x1, y2 - y1};
}

double training_iou(const pose::Box& a, const pose::Box& b) {
  const double w = std::max(0.0, std::min(a.x + a.w, b.x + b.w) - std::max(a.x, b.x));
  const double h = std::max(0.0, std::min(a.y + a.h, b.y + b.h) - std::max(a.y, b.y));
  return w * h / (a.w * a.h + b.w * b.h - w * h + 1e-5);
}

std::vector<Person> training_people(const CocoAnnotations& annotations, const PoseResults* estimated) {
  std::unordered_map<int64_t, std::vector<size_t>> results_of_image;
  if (estimated != nullptr) {
    for (size_t i = 0; i < estimated->entries.size(); ++i) {
      results_of_image[estimated->entries[i].image_id].push_back(i);
    }
  }
  std::vector<Person> people;
  std::unordered_map<size_t, std::vector<size_t>> people_of_image;
  for (size_t i = 0; i < annotations.annotations.size(); ++i) {
    const Annotation& annotation = annotations.annotations[i];
    const auto image = annotations.image_index.find(annotation.image_id);
    if (!is_kept(annotation) || image == annotations.image_index.end()) continue;
    const AnnotatedImage& picture = annotations.images[image->second];
    const std::optional<pose::Box> box = clean_box(annotation.bbox, picture.width, picture.height);
    if (!box) continue;
    Person person;
    person.image = image->second;
    person.annotation = i;
    person.bbox = *box;
    person.gt = annotation.keypoints;
    const auto results = results_of_image.find(annotation.image_id);
    if (results != results_of_image.end()) person.estimated = best_estimate(*box, *estimated, results->second);
    people_of_image[person.image].push_back(people.size());
    people.push_back(std::move(person));
  }
  for (const auto& [image, members] : people_of_image) {
    for (const size_t a : members) {
      for (const size_t b : members) {
        if (a != b && training_iou(people[a].bbox, people[b].bbox) >= kNearIou) people[a].near.push_back(b);
      }
    }
  }
  return people;
}

}  // namespace posefix::dataset

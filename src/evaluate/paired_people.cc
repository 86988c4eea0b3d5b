#include "evaluate/paired_people.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"

namespace posefix::evaluate {
namespace {

using dataset::Annotation;
using dataset::PoseResult;

struct Pairing {
  size_t person;
  size_t pose;
  size_t hits;
  double distance;  // sum over labelled joints, in head sizes
};

Pairing compare(const Annotation& annotation, double head_size, const PoseResult& result) {
  Pairing pairing{0, 0, 0, 0};
  for (size_t j = 0; j < annotation.keypoints.size(); ++j) {
    if (!(annotation.keypoints[j].score > 0)) continue;
    const double distance = std::hypot(result.keypoints[j].x - annotation.keypoints[j].x,
                                       result.keypoints[j].y - annotation.keypoints[j].y) /
                            head_size;
    pairing.hits += distance <= 0.5;
    pairing.distance += distance;
  }
  return pairing;
}

double head_size_of(const Annotation& annotation, const std::string& path) {
  if (!annotation.head_box || !(annotation.head_box->w > 0) || !(annotation.head_box->h > 0)) {
    throw bad_input(
        "{}: /annotations/{}/bbox_head: PCKh needs the box of the head [x, y, width, height]; "
        "posefix dataset convert takes it from MPII's original .mat file and from PoseTrack",
        path, annotation.index);
  }
  return head_size_of_box(annotation.head_box->w, annotation.head_box->h);
}

// People and poses of one picture.
struct Picture {
  std::vector<const Annotation*> people;
  std::vector<const PoseResult*> poses;
};

void pair_picture(const Picture& picture, const std::string& path, std::vector<PckhPerson>& out) {
  std::vector<Pairing> pairings;
  std::vector<double> head_sizes;
  for (size_t i = 0; i < picture.people.size(); ++i) {
    head_sizes.push_back(head_size_of(*picture.people[i], path));
    for (size_t k = 0; k < picture.poses.size(); ++k) {
      pairings.push_back(compare(*picture.people[i], head_sizes[i], *picture.poses[k]));
      pairings.back().person = i;
      pairings.back().pose = k;
    }
  }
  std::stable_sort(pairings.begin(), pairings.end(), [](const Pairing& a, const Pairing& b) {
    return a.hits != b.hits ? a.hits > b.hits : a.distance < b.distance;
  });
  std::vector<const PoseResult*> pose_of(picture.people.size(), nullptr);
  std::vector<char> taken(picture.poses.size(), 0);
  for (const Pairing& pairing : pairings) {
    if (pose_of[pairing.person] != nullptr || taken[pairing.pose]) continue;
    pose_of[pairing.person] = picture.poses[pairing.pose];
    taken[pairing.pose] = 1;
  }
  for (size_t i = 0; i < picture.people.size(); ++i) {
    PckhPerson person;
    person.annotated = picture.people[i]->keypoints;
    person.head_size = head_sizes[i];
    if (pose_of[i] != nullptr) {
      person.predicted = pose_of[i]->keypoints;
    } else {
      person.predicted.assign(person.annotated.size(), {1e9, 1e9, 0});
    }
    out.push_back(std::move(person));
  }
}

}  // namespace

std::vector<PckhPerson> pair_people(const dataset::CocoAnnotations& annotations, const dataset::PoseResults& results,
                                    const pose::Skeleton& skeleton) {
  if (annotations.joints != 0 && annotations.joints != skeleton.size()) {
    throw bad_input("{}: annotations of {} joints, but skeleton {} has {}", annotations.path, annotations.joints,
                    skeleton.name, skeleton.size());
  }
  std::unordered_map<int64_t, Picture> pictures;
  for (const PoseResult& result : results.entries) {
    if (annotations.find_image(result.image_id) == nullptr) {
      throw bad_input("{}: /{}/image_id: {} lists no image {}", results.path, result.index, annotations.path,
                      result.image_id);
    }
    pictures[result.image_id].poses.push_back(&result);
  }
  for (const Annotation& annotation : annotations.annotations) {
    if (!annotation.iscrowd && annotation.num_keypoints > 0)
      pictures[annotation.image_id].people.push_back(&annotation);
  }
  std::vector<PckhPerson> people;
  for (const dataset::AnnotatedImage& image : annotations.images) {
    const auto picture = pictures.find(image.id);
    if (picture != pictures.end()) pair_picture(picture->second, annotations.path, people);
  }
  return people;
}

dataset::PosetrackSequence sequence_of(const dataset::PoseResults& results, const dataset::PosetrackSequence& video,
                                       size_t* used) {
  dataset::PosetrackSequence sequence;
  sequence.path = results.path;
  sequence.joints = video.joints;
  std::unordered_map<int64_t, size_t> frame_of;
  for (const dataset::TrackedFrame& frame : video.frames) {
    frame_of[frame.image_id] = sequence.frames.size();
    sequence.frames.push_back({frame.image_id, frame.file_name, {}, {}});
  }
  for (const PoseResult& result : results.entries) {
    const auto frame = frame_of.find(result.image_id);
    if (frame == frame_of.end()) continue;
    if (result.keypoints.size() != video.joints.size()) {
      throw bad_input("{}: /{}/keypoints: {} joints, but {} names {}", results.path, result.index,
                      result.keypoints.size(), video.path, video.joints.size());
    }
    dataset::TrackedPerson person;
    person.index = result.index;
    person.track_id = static_cast<int64_t>(sequence.frames[frame->second].people.size());
    person.keypoints = result.keypoints;
    person.scores = result.scores;
    if (person.scores.empty()) person.scores.assign(result.keypoints.size(), result.score);
    sequence.frames[frame->second].people.push_back(std::move(person));
    ++*used;
  }
  return sequence;
}

}  // namespace posefix::evaluate

#include "refine/merge.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "pose/oks.h"

namespace posefix::refine {
namespace {

// Who of one picture is kept. `who` are indices into the people.
void suppress_in_picture(Refined& refined, std::span<const Person> people, const pose::Skeleton& skeleton,
                         std::vector<size_t> who, double threshold) {
  std::vector<double> sigmas = skeleton.sigmas;
  for (const int joint : skeleton.ignored) sigmas[static_cast<size_t>(joint)] = 0;
  std::stable_sort(who.begin(), who.end(), [&](size_t a, size_t b) { return people[a].score > people[b].score; });
  std::vector<pose::Keypoints> poses;
  poses.reserve(who.size());  // candidates point into it
  std::vector<pose::NmsCandidate> candidates;
  for (const size_t person : who) {
    const std::span<const double> coords = refined.coords(person);
    pose::Keypoints& keypoints = poses.emplace_back(coords.size() / 2);
    for (size_t joint = 0; joint < keypoints.size(); ++joint) {
      keypoints[joint] = {coords[2 * joint], coords[2 * joint + 1], 1};
    }
    const pose::Box& box = refined.crop_boxes[person];
    candidates.push_back({&keypoints, box.w * box.h, ranking_score(people[person], skeleton)});
  }
  for (const size_t person : who) refined.kept[person] = 0;
  for (const size_t winner : pose::oks_nms(candidates, sigmas, threshold)) refined.kept[who[winner]] = 1;
}

}  // namespace

void merge_passes(Refined& refined, const pose::Skeleton& skeleton, image::CropSize size) {
  const size_t width = 2 * static_cast<size_t>(refined.joints);
  const size_t people = refined.crop_boxes.size();
  const std::vector<int> permutation = skeleton.flip_permutation();
  std::vector<float> upright(width);
  refined.mean_crop_px = refined.first_crop_px;
  refined.coords_image_px.resize(people * width);
  for (size_t person = 0; person < people; ++person) {
    const std::span<float> mean = std::span(refined.mean_crop_px).subspan(person * width, width);
    if (!refined.mirrored_crop_px.empty()) {
      const std::span<float> mirrored = std::span(refined.mirrored_crop_px).subspan(person * width, width);
      mirror_pose(mirrored, permutation, size.width, upright);
      std::copy(upright.begin(), upright.end(), mirrored.begin());
      for (size_t i = 0; i < width; ++i) mean[i] = (mean[i] + mirrored[i]) / 2.0F;
    }
    map_back(mean, refined.crop_boxes[person], size, std::span(refined.coords_image_px).subspan(person * width, width));
  }
}

void merge_spreads(Refined& refined, std::span<const float> mirrored, const pose::Skeleton& skeleton) {
  if (mirrored.empty()) return;
  const std::vector<int> permutation = skeleton.flip_permutation();
  for (size_t i = 0; i < refined.spread_crop_px.size(); ++i) {
    const size_t joint = i % permutation.size();
    const size_t partner = i - joint + static_cast<size_t>(permutation[joint]);
    const double apart_px = std::hypot(refined.first_crop_px[2 * i] - refined.mirrored_crop_px[2 * i],
                                       refined.first_crop_px[2 * i + 1] - refined.mirrored_crop_px[2 * i + 1]);
    refined.spread_crop_px[i] =
        static_cast<float>(trust::merged_spread(refined.spread_crop_px[i], mirrored[partner], apart_px));
  }
}

void apply_trust(Refined& refined, std::span<const Person> people, const trust::Trust& trust, image::CropSize size) {
  const auto joints = static_cast<size_t>(refined.joints);
  std::vector<double> steps(joints);
  refined.uncertainty_image_px.resize(people.size() * joints);
  for (size_t person = 0; person < people.size(); ++person) {
    const std::span<double> coords = std::span(refined.coords_image_px).subspan(person * 2 * joints, 2 * joints);
    const std::span<const float> spread = std::span(refined.spread_crop_px).subspan(person * joints, joints);
    const pose::Keypoints& input = *people[person].keypoints;
    const double scale = refined.crop_scale(person, size.width);
    const trust::Answered answered{&input, coords, spread, scale, people[person].score};
    trust::steps(trust, answered, steps);
    refined.expected_oks.push_back(trust.person_score(answered));
    for (size_t joint = 0; joint < joints; ++joint) {
      refined.uncertainty_image_px[person * joints + joint] = trust.expected_error_px(joint, spread[joint]) / scale;
      if (steps[joint] == 1) continue;  // without input there may be nothing to start from
      coords[2 * joint] = input[joint].x + steps[joint] * (coords[2 * joint] - input[joint].x);
      coords[2 * joint + 1] = input[joint].y + steps[joint] * (coords[2 * joint + 1] - input[joint].y);
    }
  }
}

void suppress(Refined& refined, std::span<const Person> people, const pose::Skeleton& skeleton,
              std::optional<double> threshold) {
  refined.kept.assign(people.size(), 1);
  if (!threshold) return;
  std::map<size_t, std::vector<size_t>> pictures;
  for (size_t i = 0; i < people.size(); ++i) pictures[people[i].picture].push_back(i);
  for (const auto& [picture, who] : pictures) {
    if (who.size() > 1) suppress_in_picture(refined, people, skeleton, who, *threshold);
  }
}

}  // namespace posefix::refine

#include "dataset/check_poses.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "dataset/training_people.h"

namespace posefix::dataset {
namespace {

class PoseCheck {
 public:
  PoseCheck(const PoseResults& poses, std::span<const CocoAnnotations* const> sets, CheckReport& report)
      : poses_(poses), sets_(sets), report_(report) {}

  void run() {
    if (poses_.entries.empty()) {
      report_.warning("pose files without a pose", fmt::format("{}: /: the list is empty", poses_.path));
      return;
    }
    check_image_ids();
    check_categories();
    std::unordered_map<size_t, size_t> first_with_text;
    for (const PoseResult& pose : poses_.entries) {
      check_score(pose);
      check_joints(pose);
      const auto [first, is_new] = first_with_text.emplace(std::hash<std::string_view>()(pose.raw), pose.index);
      if (!is_new) {
        report_.warning("poses that occur twice", fmt::format("{} is the same as /{}", at(pose, ""), first->second));
      }
    }
    summarise();
  }

 private:
  std::string at(const PoseResult& pose, const char* field) const {
    return fmt::format("{}: /{}{} (byte {})", poses_.path, pose.index, field,
                       pose.raw.data() - poses_.file->text().data());
  }

  bool is_listed(const PoseResult& pose) const {
    return std::any_of(sets_.begin(), sets_.end(),
                       [&](const CocoAnnotations* set) { return set->find_image(pose.image_id) != nullptr; });
  }

  void check_image_ids() {
    if (sets_.empty()) return;
    const auto known_in = [&](const CocoAnnotations& set) {
      return std::count_if(poses_.entries.begin(), poses_.entries.end(),
                           [&](const PoseResult& pose) { return set.find_image(pose.image_id) != nullptr; });
    };
    if (known_in(*sets_.front()) == 0) {
      std::string hint = "none of the other annotation files lists them either";
      if (sets_.size() == 1) hint = "are these results of another set?";
      for (const CocoAnnotations* set : sets_.subspan(1)) {
        if (known_in(*set) > 0) hint = fmt::format("they are results of {}", set->path);
      }
      report_.error("poses of another set",
                    fmt::format("{}: /*/image_id: {} lists none of the pictures (the first pose is of image {}); {}",
                                poses_.path, sets_.front()->path, poses_.entries.front().image_id, hint));
      return;
    }
    for (const PoseResult& pose : poses_.entries) {
      if (is_listed(pose)) continue;
      report_.warning("poses of unlisted images",
                      fmt::format("{}: no annotation file lists image {}; the pose is left out", at(pose, "/image_id"),
                                  pose.image_id));
    }
  }

  void check_categories() {
    std::unordered_set<int64_t> people;
    for (const CocoAnnotations* set : sets_) {
      for (const Annotation& annotation : set->annotations) people.insert(annotation.category_id);
      for (const Category& category : set->categories) people.insert(category.id);
    }
    if (people.empty()) people.insert(1);
    std::vector<const PoseResult*> others;
    for (const PoseResult& pose : poses_.entries) {
      if (people.count(pose.category_id) == 0) others.push_back(&pose);
    }
    if (others.size() == poses_.entries.size()) {
      report_.error(
          "poses of another category",
          fmt::format("{}: /*/category_id: no pose is of category {}, which the annotations have; the first is "
                      "of category {}",
                      poses_.path, *people.begin(), poses_.entries.front().category_id));
      return;
    }
    for (const PoseResult* pose : others) {
      report_.warning("poses of another category", fmt::format("{}: category {} is not annotated; the pose is left out",
                                                               at(*pose, "/category_id"), pose->category_id));
    }
  }

  void check_score(const PoseResult& pose) {
    if (pose.score > 0) return;
    report_.warning("poses with score 0 or less", fmt::format("{}: score {}; such poses are left out of the refinement",
                                                              at(pose, "/score"), pose.score));
  }

  void check_joints(const PoseResult& pose) {
    double x0 = pose.keypoints[0].x, x1 = x0, y0 = pose.keypoints[0].y, y1 = y0;
    std::string not_found;
    for (size_t j = 0; j < pose.keypoints.size(); ++j) {
      const pose::Keypoint& joint = pose.keypoints[j];
      x0 = std::min(x0, joint.x);
      x1 = std::max(x1, joint.x);
      y0 = std::min(y0, joint.y);
      y1 = std::max(y1, joint.y);
      if (joint.score <= 0)
        not_found += fmt::format("{}/{}/keypoints/{}", not_found.empty() ? "" : ", ", pose.index, 3 * j + 2);
    }
    if (!not_found.empty()) {
      report_.warning("joints with score 0",
                      fmt::format("{}: {}: score 0; such a joint counts as not found", poses_.path, not_found));
    }
    if (x0 == x1 && y0 == y1) {
      report_.warning("poses in one point", fmt::format("{}: all joints at ({}, {}); the box is 20 px by convention",
                                                        at(pose, "/keypoints"), x0, y0));
      return;
    }
    check_extent(pose, {x0, y0, x1 - x0, y1 - y0});
  }

  // Joints may lie outside a little; ten pictures away is a mistake.
  void check_extent(const PoseResult& pose, const pose::Box& extent) {
    const AnnotatedImage* image = nullptr;
    for (const CocoAnnotations* set : sets_) {
      if (image == nullptr) image = set->find_image(pose.image_id);
    }
    if (image == nullptr || image->width == 0 || image->height == 0) return;
    const double reach = 10.0 * std::max(image->width, image->height);
    if (extent.x > -reach && extent.y > -reach && extent.x + extent.w < reach && extent.y + extent.h < reach) return;
    report_.warning(
        "joints far outside the picture",
        fmt::format("{}: joints from ({}, {}) to ({}, {}) in a picture of {} x {}", at(pose, "/keypoints"), extent.x,
                    extent.y, extent.x + extent.w, extent.y + extent.h, image->width, image->height));
  }

  void summarise() {
    PoseSummary summary;
    summary.path = poses_.path;
    summary.poses = poses_.entries.size();
    std::unordered_set<int64_t> images;
    for (const PoseResult& pose : poses_.entries) images.insert(pose.image_id);
    summary.images = images.size();
    if (!sets_.empty()) {
      summary.set = sets_.front()->path;
      std::unordered_set<int64_t> without;
      for (const Annotation& annotation : sets_.front()->annotations) {
        if (annotation.num_keypoints > 0 && images.count(annotation.image_id) == 0) without.insert(annotation.image_id);
      }
      summary.images_without_poses = without.size();
    }
    report_.poses.push_back(std::move(summary));
  }

  const PoseResults& poses_;
  std::span<const CocoAnnotations* const> sets_;
  CheckReport& report_;
};

// Pictures with fewer or more poses than people to train on.
struct TrainSetCounts {
  const char* kind;
  const char* meaning;
  size_t people = 0;
  std::vector<std::string> images = {};
};

// An estimator misses a person now and then. Where more than a tenth differs, the file is of another set or cut short.
void report_counts(const std::string& path, const TrainSetCounts& counts, size_t people, CheckReport& report) {
  constexpr size_t kShown = 3;
  if (counts.people == 0) return;
  if (10 * counts.people > people) {
    for (const std::string& image : counts.images) report.error(counts.kind, fmt::format("{}: /: {}", path, image));
    return;
  }
  const auto shown = counts.images.begin() + static_cast<ptrdiff_t>(std::min(kShown, counts.images.size()));
  report.warning(counts.kind, fmt::format("{}: /: {} of {} {} ({}{})", path, counts.people, people, counts.meaning,
                                          fmt::join(counts.images.begin(), shown, ", "),
                                          shown == counts.images.end() ? "" : ", ..."));
}

}  // namespace

void check_poses(const PoseResults& poses, std::span<const CocoAnnotations* const> sets, CheckReport& report) {
  PoseCheck(poses, sets, report).run();
}

void check_train_set_poses(const PoseResults& poses, const CocoAnnotations& annotations, CheckReport& report) {
  if (poses.entries.empty()) {
    report.error("train-set poses missing",
                 fmt::format("{}: /: the list is empty; every person to train on needs a pose", poses.path));
    return;
  }
  std::unordered_map<int64_t, size_t> found;
  for (const PoseResult& pose : poses.entries) {
    ++found[pose.image_id];
    if (annotations.find_image(pose.image_id) != nullptr) continue;
    report.warning(
        "train-set poses of unlisted images",
        fmt::format("{}: /{}/image_id: {} lists no image {}", poses.path, pose.index, annotations.path, pose.image_id));
  }
  std::unordered_map<size_t, size_t> people;
  for (const Person& person : training_people(annotations, nullptr)) ++people[person.image];
  TrainSetCounts missing{"train-set poses missing",
                         "people to train on have no pose: the estimator missed them, and "
                         "they are trained on with synthesised errors alone"};
  TrainSetCounts extra{"train-set poses too many",
                       "poses too many for the people to train on: of each person's box the "
                       "best fitting is taken"};
  size_t wanted = 0;
  for (size_t i = 0; i < annotations.images.size(); ++i) {
    const auto expected = people.find(i);
    const size_t want = expected == people.end() ? 0 : expected->second;
    const auto have_entry = found.find(annotations.images[i].id);
    const size_t have = have_entry == found.end() ? 0 : have_entry->second;
    wanted += want;
    if (have == want) continue;
    TrainSetCounts& counts = have < want ? missing : extra;
    counts.people += have < want ? want - have : have - want;
    counts.images.push_back(fmt::format("image {} ({}) has {} poses for {} people to train on",
                                        annotations.images[i].id, annotations.images[i].file_name, have, want));
  }
  for (const TrainSetCounts& counts : {missing, extra}) report_counts(poses.path, counts, wanted, report);
}

}  // namespace posefix::dataset

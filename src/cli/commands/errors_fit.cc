// posefix errors fit: how an estimator errs on annotated pictures, as a table to train from.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "cli/command.h"
#include "dataset/pose_results.h"
#include "dataset/skeleton_annotations.h"
#include "dataset/training_people.h"
#include "pose/skeleton.h"
#include "synthesis/error_fit.h"

namespace posefix::cli {
namespace {

using synthesis::ErrorKind;
using synthesis::kErrorKinds;

struct Flags {
  std::vector<std::string> annotations;
  std::vector<std::string> poses;
  std::string out;
  std::string skeleton = "coco17";
  bool json = false;
};

struct Matching {
  size_t people = 0;
  size_t matched = 0;
  size_t detections = 0;
};

// The people of each picture with the detections that are theirs go into `fit`.
Matching observe(const dataset::CocoAnnotations& annotations, const dataset::PoseResults& poses,
                 const pose::Skeleton& skeleton, synthesis::ErrorFit& fit) {
  const std::vector<dataset::Person> people = dataset::training_people(annotations, nullptr);
  std::unordered_map<int64_t, std::vector<size_t>> results_of_image;
  for (size_t i = 0; i < poses.entries.size(); ++i) results_of_image[poses.entries[i].image_id].push_back(i);
  Matching matching{people.size(), 0, poses.entries.size()};
  std::unordered_map<size_t, std::vector<size_t>> people_of_image;
  std::vector<size_t> images;
  for (size_t i = 0; i < people.size(); ++i) {
    std::vector<size_t>& members = people_of_image[people[i].image];
    if (members.empty()) images.push_back(people[i].image);
    members.push_back(i);
  }
  for (const size_t image : images) {
    const std::vector<size_t>& members = people_of_image[image];
    const std::vector<size_t>& results = results_of_image[annotations.images[image].id];
    std::vector<synthesis::Annotated> annotated;
    annotated.reserve(members.size());
    for (const size_t i : members) annotated.push_back({&people[i].gt, people[i].bbox});
    std::vector<synthesis::Detection> detections;
    for (const size_t i : results) {
      const dataset::PoseResult& entry = poses.entries[i];
      detections.push_back({&entry.keypoints,
                            entry.bbox ? *entry.bbox : pose::box_of_joints(entry.keypoints, skeleton.ignored),
                            entry.score});
    }
    const std::vector<int> matched = synthesis::match_people(annotated, detections, skeleton);
    for (size_t m = 0; m < members.size(); ++m) {
      if (matched[m] < 0) continue;
      const dataset::Person& person = people[members[m]];
      std::vector<pose::Keypoints> near;
      for (const size_t other : person.near) near.push_back(people[other].gt);
      fit.add({person.gt, *detections[static_cast<size_t>(matched[m])].keypoints, near, person.bbox.w * person.bbox.h});
      ++matching.matched;
    }
  }
  return matching;
}

double median(const std::vector<double>& quantiles) {
  const size_t n = quantiles.size();
  return n % 2 == 1 ? quantiles[n / 2] : (quantiles[n / 2 - 1] + quantiles[n / 2]) / 2;
}

nlohmann::ordered_json summary_json(const Matching& matching, const synthesis::ErrorFit& fit,
                                    const synthesis::ErrorModel& model, const pose::Skeleton& skeleton) {
  nlohmann::ordered_json json;
  json["people"] = matching.people;
  json["matched"] = matching.matched;
  json["poses"] = matching.detections;
  for (size_t j = 0; j < skeleton.joints.size(); ++j) {
    const synthesis::ErrorFit::JointSummary& summary = fit.summary()[j];
    nlohmann::ordered_json& joint = json["joints"][skeleton.joints[j]];
    joint["labelled"] = summary.labelled;
    joint["not_found"] = summary.not_found;
    joint["could_invert"] = summary.could_invert;
    joint["could_swap"] = summary.could_swap;
    for (size_t kind = 0; kind < kErrorKinds; ++kind) {
      const std::string name(synthesis::error_kind_name(static_cast<ErrorKind>(kind)));
      joint[name] = {{"count", summary.count[kind]}, {"median_distance", median(model.joints[j].distances[kind])}};
    }
  }
  return json;
}

void print_table(const Matching& matching, const synthesis::ErrorFit& fit, const pose::Skeleton& skeleton) {
  std::string table = fmt::format("{:<16}{:>9}{:>9}", "percent", "joints", "absent");
  for (size_t kind = 0; kind < kErrorKinds; ++kind) {
    table += fmt::format("{:>11}", synthesis::error_kind_name(static_cast<ErrorKind>(kind)));
  }
  table += "\n";
  for (size_t j = 0; j < skeleton.joints.size(); ++j) {
    const synthesis::ErrorFit::JointSummary& summary = fit.summary()[j];
    if (skeleton.is_ignored(static_cast<int>(j))) continue;
    int64_t counted = 0;
    for (const int64_t count : summary.count) counted += count;
    table += fmt::format("{:<16}{:>9}{:>9}", skeleton.joints[j], counted, summary.not_found);
    for (const int64_t count : summary.count) {
      table += counted > 0 ? fmt::format("{:>11.2f}", 100.0 * static_cast<double>(count) / static_cast<double>(counted))
                           : fmt::format("{:>11}", "-");
    }
    table += "\n";
  }
  table += fmt::format("{} of {} annotated people have a pose of their own among {}.\n", matching.matched,
                       matching.people, matching.detections);
  std::fputs(table.c_str(), stdout);
}

Matching observe_set(const std::string& annotations_path, const std::string& poses_path, const pose::Skeleton& skeleton,
                     synthesis::ErrorFit& fit) {
  dataset::PoseReadOptions pose_options;
  pose_options.joints = skeleton.size();
  const Matching matching = observe(dataset::read_skeleton_annotations(annotations_path, skeleton),
                                    dataset::read_pose_results(poses_path, pose_options), skeleton, fit);
  if (matching.matched == 0) {
    throw bad_input(
        "{}: none of its {} poses belongs to one of the {} labelled people of {}; are they of the same "
        "pictures (image_id)?",
        poses_path, matching.detections, matching.people, annotations_path);
  }
  return matching;
}

void run(const Flags& flags) {
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  if (flags.annotations.size() != flags.poses.size()) {
    throw bad_input("--poses: {} files for {} --annotations; they are given in pairs", flags.poses.size(),
                    flags.annotations.size());
  }
  synthesis::ErrorFit fit(skeleton);
  Matching matching;
  for (size_t i = 0; i < flags.poses.size(); ++i) {
    const Matching part = observe_set(flags.annotations[i], flags.poses[i], skeleton, fit);
    matching.people += part.people;
    matching.matched += part.matched;
    matching.detections += part.detections;
  }
  const synthesis::ErrorModel model = fit.model();
  model.save(flags.out, skeleton);
  const bool saw_swaps = std::any_of(fit.summary().begin(), fit.summary().end(),
                                     [](const auto& summary) { return summary.could_swap > 0; });
  if (!saw_swaps) {
    std::fputs("posefix: no two annotated people overlap, so swaps could not be measured; their rate is 0\n", stderr);
  }
  if (flags.json) {
    print_json(summary_json(matching, fit, model, skeleton));
  } else {
    print_table(matching, fit, skeleton);
  }
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations,
                 "COCO keypoint annotations (JSON); may be repeated, one for each --poses")
      ->required();
  app.add_option("--poses", flags->poses, "the estimator's poses of the same pictures (COCO keypoint results)")
      ->required();
  app.add_option("--out", flags->out, "error statistics to write (JSON); data.errors and errors sample read it")
      ->required();
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file")->capture_default_str();
  app.add_flag("--json", flags->json, "print JSON instead of a table");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"errors fit", "measure the errors of an estimator", &setup};

}  // namespace
}  // namespace posefix::cli

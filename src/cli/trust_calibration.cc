#include "cli/trust_calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/options.h"
#include "base/progress.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/synthesised_poses.h"
#include "compiler/open_model.h"
#include "dataset/training_people.h"
#include "refine/refiner.h"
#include "refine/selection.h"
#include "synthesis/error_fit.h"
#include "tensorfile/snapshot.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

// One pose file, or poses drawn of the people of one annotation file, with the network's answers.
struct Source {
  dataset::CocoAnnotations annotations;
  dataset::PoseResults poses;
  refine::Selection selection;
  refine::Refined refined;  // the answers as they are
  std::vector<int> sample;  // beside the selection: position in the samples, -1: not one of them
  size_t people = 0;
  bool is_drawn = false;
};

const fs::path& one_of(const std::vector<fs::path>& paths, size_t index) {
  return paths.size() == 1 ? paths.front() : paths[index];
}

void check(const CalibrationRequest& request) {
  const size_t poses = request.poses.size();
  if (poses == 0) throw bad_input("no poses to calibrate on: give --poses P.json");
  for (const auto& [count, flag] :
       {std::pair{request.annotations.size(), "--annotations"}, std::pair{request.images.size(), "--images"}}) {
    if (count != 1 && count != poses) {
      throw bad_input("{} occurs {} times with {} times --poses; expected once, or once for every pose file", flag,
                      count, poses);
    }
  }
  if (request.draws < 1) throw bad_input("--draws {}: expected 1 or more", request.draws);
  if (!request.drawn_errors.empty() && request.drawn_errors != "paper" && !fs::exists(request.drawn_errors)) {
    throw bad_input("{}: does not exist; --drawn-errors is paper or a file of `posefix errors fit`",
                    request.drawn_errors);
  }
  check_can_write(request.out);
}

// For every pose of the selection the annotated person it belongs to, -1: nobody.
std::vector<int> owners(const Source& source, const std::vector<dataset::Person>& people,
                        const pose::Skeleton& skeleton) {
  std::unordered_map<int64_t, std::vector<size_t>> poses_of_image;
  for (size_t i = 0; i < source.selection.entries.size(); ++i) {
    poses_of_image[source.poses.entries[source.selection.entries[i]].image_id].push_back(i);
  }
  std::unordered_map<size_t, std::vector<size_t>> people_of_image;
  for (size_t i = 0; i < people.size(); ++i) people_of_image[people[i].image].push_back(i);
  std::vector<int> owner(source.selection.entries.size(), -1);
  for (const auto& [image, members] : people_of_image) {
    const std::vector<size_t>& poses = poses_of_image[source.annotations.images[image].id];
    std::vector<synthesis::Annotated> annotated;
    for (const size_t i : members) annotated.push_back({&people[i].gt, people[i].bbox});
    std::vector<synthesis::Detection> detections;
    for (const size_t i : poses) {
      const refine::Person& person = source.selection.people[i];
      detections.push_back({person.keypoints, refine::person_box(person, skeleton), person.score});
    }
    const std::vector<int> matched = synthesis::match_people(annotated, detections, skeleton);
    for (size_t m = 0; m < members.size(); ++m) {
      if (matched[m] >= 0) owner[poses[static_cast<size_t>(matched[m])]] = static_cast<int>(members[m]);
    }
  }
  return owner;
}

// Pictures with a crowd or people without joints: a pose that belongs to nobody may be one of those.
std::unordered_map<int64_t, bool> unclear_pictures(const dataset::CocoAnnotations& annotations) {
  std::unordered_map<int64_t, bool> unclear;
  for (const dataset::Annotation& annotation : annotations.annotations) {
    if (annotation.iscrowd || annotation.num_keypoints == 0) unclear[annotation.image_id] = true;
  }
  return unclear;
}

trust::Sample sample_of(const Source& source, size_t pose, int64_t crop_width) {
  const refine::Refined& refined = source.refined;
  const refine::Person& person = source.selection.people[pose];
  const auto joints = static_cast<size_t>(refined.joints);
  const std::span<const double> answer = refined.coords(pose);
  const std::span<const float> spread = std::span(refined.spread_crop_px).subspan(pose * joints, joints);
  trust::Sample sample;
  sample.picture = static_cast<uint64_t>(source.poses.entries[source.selection.entries[pose]].image_id);
  sample.input = *person.keypoints;
  sample.answer.assign(answer.begin(), answer.end());
  sample.spread_px.assign(spread.begin(), spread.end());
  sample.crop_px_per_image_px = refined.crop_scale(pose, crop_width);
  sample.score = person.score;
  return sample;
}

void add_samples(Source& source, const pose::Skeleton& skeleton, int64_t crop_width,
                 std::vector<trust::Sample>& samples) {
  const std::vector<dataset::Person> people = dataset::training_people(source.annotations, nullptr);
  const std::vector<int> owner = owners(source, people, skeleton);
  const std::unordered_map<int64_t, bool> unclear = unclear_pictures(source.annotations);
  source.sample.assign(owner.size(), -1);
  for (size_t i = 0; i < owner.size(); ++i) {
    if (owner[i] < 0 && unclear.contains(source.poses.entries[source.selection.entries[i]].image_id)) continue;
    trust::Sample sample = sample_of(source, i, crop_width);
    if (owner[i] >= 0) {
      const dataset::Person& person = people[static_cast<size_t>(owner[i])];
      sample.truth = person.gt;
      sample.area = source.annotations.annotations[person.annotation].area;
      sample.is_drawn = source.is_drawn;
      ++source.people;
    }
    source.sample[i] = static_cast<int>(samples.size());
    samples.push_back(std::move(sample));
  }
}

void answer(Source& source, const fs::path& images, refine::Refiner& refiner) {
  source.selection = refine::select(source.poses, images, &source.annotations);
  Progress progress("calibrate", "people", static_cast<int64_t>(source.selection.people.size()));
  source.refined = refiner.run([&](size_t picture) { return image::decode(source.selection.pictures[picture]); },
                               source.selection.people, [&](int64_t people) { progress.update(people); });
  progress.finish();
}

// The pose files in their order, then the draws. Poses and annotations alone.
std::vector<Source> sources_of(const CalibrationRequest& request, const pose::Skeleton& skeleton,
                               std::vector<fs::path>& images) {
  std::vector<Source> sources;
  std::vector<fs::path> drawn_of;
  const auto people_of = [&](size_t i) {
    return dataset::read_coco_annotations(one_of(request.annotations, i), {.joints = skeleton.size()});
  };
  for (size_t i = 0; i < request.poses.size(); ++i) {
    Source& source = sources.emplace_back();
    source.annotations = people_of(i);
    source.poses = dataset::read_pose_results(request.poses[i], {.joints = skeleton.size()});
    images.push_back(one_of(request.images, i));
  }
  for (size_t i = 0; i < request.poses.size() && !request.drawn_errors.empty(); ++i) {
    const fs::path& annotations = one_of(request.annotations, i);
    if (std::find(drawn_of.begin(), drawn_of.end(), annotations) != drawn_of.end()) continue;
    drawn_of.push_back(annotations);
    for (int seed = 1; seed <= request.draws; ++seed) {
      Source& source = sources.emplace_back();
      source.is_drawn = true;
      source.annotations = people_of(i);
      source.poses.path = fmt::format("{}, drawn errors {}", annotations.filename().string(), seed);
      source.poses.entries =
          synthesised_poses(source.annotations, skeleton, request.drawn_errors, static_cast<uint64_t>(seed));
      images.push_back(one_of(request.images, i));
    }
  }
  return sources;
}

// Poses of a source after `step_of(pose, joint)`, with `score_of(pose)`.
template <typename StepOf, typename ScoreOf>
evaluate::CocoFigures figures_of(const Source& source, const pose::Skeleton& skeleton, ThreadPool& pool,
                                 const StepOf& step_of, const ScoreOf& score_of) {
  std::vector<dataset::PoseResult> results;
  for (size_t i = 0; i < source.selection.entries.size(); ++i) {
    const dataset::PoseResult& entry = source.poses.entries[source.selection.entries[i]];
    const std::span<const double> answer = source.refined.coords(i);
    dataset::PoseResult& result = results.emplace_back();
    result.image_id = entry.image_id;
    result.category_id = entry.category_id;
    result.score = score_of(i);
    for (size_t j = 0; j < entry.keypoints.size(); ++j) {
      const pose::Keypoint& input = entry.keypoints[j];
      const double step = step_of(i, j);
      result.keypoints.push_back(
          {input.x + step * (answer[2 * j] - input.x), input.y + step * (answer[2 * j + 1] - input.y), 1});
    }
  }
  const evaluate::Detections detections = evaluate::detections_of(results, skeleton.size());
  std::vector<double> sigmas = skeleton.sigmas;
  for (const int joint : skeleton.ignored) sigmas[static_cast<size_t>(joint)] = 0;
  return evaluate::figures(evaluate::match(source.annotations, detections, sigmas, pool)).figures;
}

CalibrationSource summary_of(const Source& source, const trust::Fitted& fitted, const pose::Skeleton& skeleton,
                             int64_t crop_width) {
  ThreadPool pool(1);
  const std::vector<refine::Person>& people = source.selection.people;
  std::vector<std::vector<double>> steps(people.size());
  std::vector<double> scores(people.size());
  for (size_t i = 0; i < people.size(); ++i) {
    if (source.sample[i] >= 0) {
      steps[i] = fitted.steps[static_cast<size_t>(source.sample[i])];
      scores[i] = fitted.scores[static_cast<size_t>(source.sample[i])];
      continue;
    }
    const trust::Sample sample = sample_of(source, i, crop_width);
    steps[i].resize(sample.input.size());
    trust::steps(fitted.trust, sample.answered(), steps[i]);
    scores[i] = fitted.trust.person_score(sample.answered());
  }
  const auto given_score = [&](size_t i) { return people[i].score; };
  const auto constant = [](double step) { return [step](size_t, size_t) { return step; }; };
  const auto calibrated = [&](size_t i, size_t j) { return steps[i][j]; };
  CalibrationSource summary;
  summary.poses = source.poses.path;
  summary.count = people.size();
  summary.people = source.people;
  summary.before = figures_of(source, skeleton, pool, constant(0), given_score);
  summary.raw = figures_of(source, skeleton, pool, constant(1), given_score);
  summary.calibrated = figures_of(source, skeleton, pool, calibrated, given_score);
  summary.rescored = figures_of(source, skeleton, pool, calibrated, [&](size_t i) { return scores[i]; });
  return summary;
}

nlohmann::ordered_json row_json(const trust::KindReport& row) {
  return {{"name", row.name},
          {"joints", row.joints},
          {"moves", row.moves},
          {"mean_step", row.mean_step},
          {"oks", {{"before", row.oks_before}, {"raw", row.oks_raw}, {"calibrated", row.oks_calibrated}}},
          {"error_px",
           {{"before", row.error_before_px}, {"raw", row.error_raw_px}, {"calibrated", row.error_calibrated_px}}}};
}

nlohmann::ordered_json to_json(const Calibration& calibration) {
  const trust::Fitted& fitted = calibration.fitted;
  nlohmann::ordered_json json = {{"poses", fitted.poses},
                                 {"people", fitted.people},
                                 {"ridge", fitted.ridge},
                                 {"all", row_json(fitted.all)},
                                 {"kinds", nlohmann::ordered_json::array()},
                                 {"sources", nlohmann::ordered_json::array()}};
  for (const trust::KindReport& row : fitted.kinds) json["kinds"].push_back(row_json(row));
  for (const CalibrationSource& source : calibration.sources) {
    json["sources"].push_back({{"poses", source.poses},
                               {"count", source.count},
                               {"people", source.people},
                               {"AP",
                                {{"before", source.before.ap},
                                 {"raw", source.raw.ap},
                                 {"calibrated", source.calibrated.ap},
                                 {"rescored", source.rescored.ap}}}});
  }
  return json;
}

std::string table_row(const trust::KindReport& row) {
  return fmt::format("{:<16}{:>8}{:>8.2f}{:>10.2f}{:>8.2f}{:>12.2f}{:>12.2f}{:>8.2f}{:>12.2f}{}\n", row.name,
                     row.joints, row.mean_step, 100 * row.oks_before, 100 * row.oks_raw, 100 * row.oks_calibrated,
                     row.error_before_px, row.error_raw_px, row.error_calibrated_px, row.moves ? "" : "  stays");
}

std::string to_text(const Calibration& calibration) {
  const trust::Fitted& fitted = calibration.fitted;
  std::string text = fmt::format("{:<16}{:>8}{:>8}{:>10}{:>8}{:>12}{:>12}{:>8}{:>12}\n", "", "", "mean", "OKS", "", "",
                                 "error px", "", "");
  text += fmt::format("{:<16}{:>8}{:>8}{:>10}{:>8}{:>12}{:>12}{:>8}{:>12}\n", "joint", "joints", "step", "before",
                      "raw", "calibrated", "before", "raw", "calibrated");
  for (const trust::KindReport& row : fitted.kinds) text += table_row(row);
  text += table_row(fitted.all);
  text +=
      fmt::format("\n{:<44}{:>8}{:>8}{:>8}{:>12}{:>10}\n", "AP of", "poses", "before", "raw", "calibrated", "rescored");
  for (const CalibrationSource& source : calibration.sources) {
    text +=
        fmt::format("{:<44}{:>8}{:>8.2f}{:>8.2f}{:>12.2f}{:>10.2f}\n", source.poses, source.count,
                    100 * source.before.ap, 100 * source.raw.ap, 100 * source.calibrated.ap, 100 * source.rescored.ap);
  }
  text += fmt::format(
      "{} of {} poses belong to annotated people; calibrated and rescored figures are cross-validated, ridge {}\n",
      fitted.people, fitted.poses, fitted.ridge);
  return text;
}

}  // namespace

CalibrationRequest calibration_keys(const fs::path& config, const std::vector<std::string>& set) {
  std::vector<std::string> annotations, images, poses;
  CalibrationRequest request;
  Options options;
  options.only("calibrate");
  options.add("calibrate.annotations", &annotations,
              "people that the network does not train on; one file, or one a pose file");
  options.add("calibrate.images", &images, "folders of their pictures; one, or one a pose file");
  options.add("calibrate.poses", &poses, "an estimator's poses of these people; none: no calibration");
  options.add("calibrate.drawn_errors", &request.drawn_errors,
              "poses drawn with these errors are calibrated on too: paper, or a file of 'posefix errors fit'");
  options.load(config);
  for (const std::string& assignment : set) options.set(assignment);
  request.annotations.assign(annotations.begin(), annotations.end());
  request.images.assign(images.begin(), images.end());
  request.poses.assign(poses.begin(), poses.end());
  return request;
}

void check_files(const CalibrationRequest& request) {
  check(request);
  for (const auto* paths : {&request.annotations, &request.images, &request.poses}) {
    for (const fs::path& path : *paths) {
      if (!fs::exists(path)) throw bad_input("{}: does not exist; the keys calibrate.* name it", path.string());
    }
  }
}

Calibration calibrate(const CalibrationRequest& request) {
  check(request);
  tensorfile::Snapshot snapshot = tensorfile::read_snapshot(request.snapshot);
  const auto session = compiler::open_model(request.snapshot, request.session);
  const pose::Skeleton skeleton =
      pose::Skeleton::parse(session->info().skeleton_yaml, request.snapshot.string() + ": posefix.skeleton");
  refine::RefineOptions options;
  options.flip = request.flip;
  options.nms_threshold.reset();
  options.spread = true;
  refine::Refiner refiner(*session, skeleton, options);
  std::vector<fs::path> images;
  std::vector<Source> sources = sources_of(request, skeleton, images);
  std::vector<trust::Sample> samples;
  for (size_t i = 0; i < sources.size(); ++i) {
    answer(sources[i], images[i], refiner);
    add_samples(sources[i], skeleton, session->info().width, samples);
  }
  Calibration calibration;
  calibration.fitted = trust::fit(samples, skeleton, {session->info().height, session->info().width, request.flip, 5});
  for (const Source& source : sources) {
    calibration.sources.push_back(summary_of(source, calibration.fitted, skeleton, session->info().width));
  }
  snapshot.state.clear();
  snapshot.metadata["posefix.trust"] = calibration.fitted.trust.text();
  tensorfile::write_snapshot(request.out, snapshot);
  return calibration;
}

void print_calibration(const Calibration& calibration, bool json) {
  if (json) {
    print_json(to_json(calibration));
  } else {
    std::fputs(to_text(calibration).c_str(), stdout);
  }
}

}  // namespace posefix::cli

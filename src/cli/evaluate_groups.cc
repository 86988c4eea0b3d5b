// PCKh and PoseTrack: a few groups of joints and a total.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "cli/evaluate_report.h"
#include "evaluate/paired_people.h"
#include "evaluate/pckh.h"
#include "evaluate/posetrack_ap.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// after - before for every number of two objects of one shape.
Json difference(const Json& before, const Json& after) {
  Json gain = Json::object();
  for (const auto& [key, value] : after.items()) {
    if (value.is_object()) {
      gain[key] = difference(before[key], value);
    } else {
      const bool exists = value.is_number() && before[key].is_number();
      gain[key] = exists ? Json(value.get<double>() - before[key].get<double>()) : Json(nullptr);
    }
  }
  return gain;
}

Json with_baseline(Json results, const Json& baseline) {
  if (baseline.is_null()) return results;
  const Json gain = difference(baseline, results);
  results["baseline"] = baseline;
  results["gain"] = gain;
  return results;
}

std::vector<fs::path> sequence_files(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) throw bad_input("{}: the folder holds no .json files", path.string());
  return files;
}

bool is_list(const fs::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const size_t first = file->text().find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && file->text()[first] == '[';
}

std::vector<dataset::PosetrackSequence> read_predictions(const fs::path& path,
                                                         const std::vector<dataset::PosetrackSequence>& annotated) {
  std::vector<dataset::PosetrackSequence> predicted;
  if (!fs::is_directory(path) && is_list(path)) {
    const dataset::PoseResults results = dataset::read_pose_results(path, {});
    size_t used = 0;
    for (const dataset::PosetrackSequence& video : annotated) {
      predicted.push_back(evaluate::sequence_of(results, video, &used));
    }
    if (used != results.entries.size()) {
      throw bad_input("{}: {} of {} poses are of pictures that the annotations do not list", path.string(),
                      results.entries.size() - used, results.entries.size());
    }
    return predicted;
  }
  for (const dataset::PosetrackSequence& video : annotated) {
    const fs::path file = fs::is_directory(path) ? path / fs::path(video.path).filename() : path;
    predicted.push_back(dataset::read_posetrack_sequence(file));
  }
  return predicted;
}

Json posetrack_json(const std::vector<dataset::PosetrackSequence>& annotated, const fs::path& results) {
  const std::vector<dataset::PosetrackSequence> predicted = read_predictions(results, annotated);
  std::vector<evaluate::PosetrackPair> videos;
  for (size_t i = 0; i < annotated.size(); ++i) videos.push_back({&annotated[i], &predicted[i]});
  const evaluate::PosetrackFigures figures = evaluate::posetrack_figures(videos);
  Json json{{"AP", number_or_null(figures.ap)},
            {"precision", number_or_null(figures.precision)},
            {"recall", number_or_null(figures.recall)},
            {"frames", figures.frames}};
  for (const evaluate::PosetrackGroup& group : evaluate::posetrack_groups(figures)) {
    json["groups"][group.name] = number_or_null(group.ap);
  }
  for (size_t j = 0; j < figures.joints.size(); ++j) {
    const evaluate::PosetrackJointFigures& joint = figures.joints[j];
    json["joints"][evaluate::posetrack_joints()[j]] = {{"AP", number_or_null(joint.ap)},
                                                       {"precision", number_or_null(joint.precision)},
                                                       {"recall", number_or_null(joint.recall)}};
  }
  return json;
}

Json pckh_json(const dataset::CocoAnnotations& annotations, const fs::path& file, const pose::Skeleton& skeleton) {
  dataset::PoseReadOptions options;
  options.joints = skeleton.size();
  const dataset::PoseResults results = dataset::read_pose_results(file, options);
  const std::vector<evaluate::PckhPerson> people = evaluate::pair_people(annotations, results, skeleton);
  const evaluate::PckhFigures half = evaluate::pckh(people, skeleton, 0.5);
  Json json{{"PCKh@0.5", number_or_null(half.mean)},
            {"PCKh@0.1", number_or_null(evaluate::pckh(people, skeleton, 0.1).mean)},
            {"AUC", number_or_null(evaluate::pckh_curve(people, skeleton).area)}};
  for (const evaluate::PckhGroup& group : evaluate::pckh_groups(half, skeleton)) {
    json["groups"][group.name] = number_or_null(group.value);
  }
  for (size_t j = 0; j < skeleton.joints.size(); ++j) {
    json["joints"][skeleton.joints[j]] = number_or_null(half.per_joint[j]);
  }
  return json;
}

std::string row(const std::string& name, const Json& json, const char* total, bool with_sign) {
  const auto cell = [&](const Json& value) {
    if (!value.is_number()) return fmt::format("{:>10}", "-");
    return with_sign ? fmt::format("{:>+10.2f}", value.get<double>()) : fmt::format("{:>10.2f}", value.get<double>());
  };
  std::string line = fmt::format("{:<10}", name) + cell(json[total]);
  for (const auto& [group, value] : json["groups"].items()) line += cell(value);
  return line + "\n";
}

}  // namespace

Json evaluate_pckh(const EvaluateRequest& request, const pose::Skeleton& skeleton) {
  dataset::AnnotationReadOptions options;
  options.require_area = false;
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(request.annotations, options);
  const Json baseline = request.baseline.empty() ? Json(nullptr) : pckh_json(annotations, request.baseline, skeleton);
  return with_baseline(pckh_json(annotations, request.results, skeleton), baseline);
}

Json evaluate_posetrack(const EvaluateRequest& request) {
  std::vector<dataset::PosetrackSequence> annotated;
  for (const fs::path& file : sequence_files(request.annotations)) {
    annotated.push_back(dataset::read_posetrack_sequence(file));
  }
  const Json baseline = request.baseline.empty() ? Json(nullptr) : posetrack_json(annotated, request.baseline);
  return with_baseline(posetrack_json(annotated, request.results), baseline);
}

std::string groups_table(const Json& json) {
  const char* total = json.contains("AP") ? "AP" : "PCKh@0.5";
  std::string table = fmt::format("{:<10}{:>10}", "percent", total);
  for (const auto& [group, value] : json["groups"].items()) table += fmt::format("{:>10}", group);
  table += "\n";
  if (json.contains("baseline")) table += row("baseline", json["baseline"], total, false);
  table += row("results", json, total, false);
  if (json.contains("gain")) table += row("gain", json["gain"], total, true);
  return table;
}

}  // namespace posefix::cli

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <future>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "cli/evaluate_report.h"
#include "evaluate/coco_keypoints.h"
#include "evaluate/error_diagnosis.h"
#include "evaluate/gain.h"
#include "evaluate/score_reliability.h"

namespace posefix::cli {
namespace {

using evaluate::kCocoFigures;
using evaluate::Matches;

// JSON has no NaN.
Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json figures_json(const evaluate::CocoFigures& figures) {
  Json json;
  for (const auto& [name, value] : kCocoFigures) json[name] = figures.*value;
  return json;
}

// What the results gain over the baseline; null where a figure does not exist.
Json gain_json(const evaluate::CocoFigures& before, const evaluate::CocoFigures& after) {
  Json json;
  for (const auto& [name, value] : kCocoFigures) {
    const bool exists = before.*value >= 0 && after.*value >= 0;
    json[name] = exists ? Json(after.*value - before.*value) : Json(nullptr);
  }
  return json;
}

Json interval_json(const evaluate::Interval& interval) {
  if (!std::isfinite(interval.low)) return nullptr;
  return {interval.low, interval.high};
}

Json curve_json(const evaluate::CocoCurves& curves) {
  Json json{
      {"oks", evaluate::oks_thresholds()}, {"AP", curves.ap_per_threshold}, {"recall", curves.recall_per_threshold}};
  json["precision_at_recall"] = {{"0.50", curves.precision[0]}, {"0.75", curves.precision[5]}};
  return json;
}

Json reliability_json(const Matches& matches) {
  Json json = Json::array();
  for (const evaluate::ReliabilityBin& bin : evaluate::score_reliability(matches)) {
    if (bin.detections == 0) continue;
    json.push_back({{"lowest_score", bin.lowest_score},
                    {"mean_score", bin.mean_score},
                    {"share_matched", bin.share_matched},
                    {"poses", bin.detections}});
  }
  return json;
}

// Weights of the images of each slice.
std::map<std::string, std::vector<uint32_t>> read_slices(const std::filesystem::path& path, const Matches& matches) {
  const auto document = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!document.is_object()) throw bad_input("{}: expected a JSON object, image id -> name", path.string());
  std::map<std::string, std::vector<uint32_t>> slices;
  for (const auto& [key, name] : document.items()) {
    if (!name.is_string()) throw bad_input("{}: /{}: expected a name", path.string(), key);
    int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      throw bad_input("{}: /{}: expected an image id", path.string(), key);
    }
    const auto image = std::lower_bound(matches.image_ids.begin(), matches.image_ids.end(), id);
    if (image == matches.image_ids.end() || *image != id) {
      throw bad_input("{}: /{}: the annotations list no image {}", path.string(), key, id);
    }
    std::vector<uint32_t>& weights = slices[name.get<std::string>()];
    weights.resize(matches.image_ids.size(), 0);
    weights[static_cast<size_t>(image - matches.image_ids.begin())] = 1;
  }
  return slices;
}

Json diagnosis_json(const evaluate::ErrorDiagnosis& diagnosis) {
  Json json{{"AP", diagnosis.ap}};
  for (size_t i = 0; i < evaluate::kJointStates.size(); ++i) {
    json["joints"][evaluate::kJointStates[i]] = diagnosis.joints[i];
    if (i > 0) json["cost"][evaluate::kJointStates[i]] = diagnosis.cost[i];
  }
  json["cost"]["score"] = diagnosis.score_cost;
  json["cost"]["false_positives"] = diagnosis.false_positive_cost;
  json["cost"]["false_negatives"] = diagnosis.false_negative_cost;
  json["false_positives"] = diagnosis.false_positives;
  json["false_negatives"] = diagnosis.false_negatives;
  return json;
}

// One results file, matched.
struct Evaluated {
  evaluate::Detections detections;
  Matches matches;
  evaluate::CocoCurves curves;
};

class CocoEvaluation {
 public:
  CocoEvaluation(const EvaluateRequest& request, const pose::Skeleton& skeleton, ThreadPool& pool)
      : request_(request), skeleton_(skeleton), pool_(pool), has_baseline_(!request.baseline.empty()) {
    // Both files at once where there is a thread to spare.
    std::future<dataset::CocoAnnotations> annotations =
        std::async(pool.threads() > 1 ? std::launch::async : std::launch::deferred,
                   [&] { return dataset::read_coco_annotations(request.annotations); });
    evaluate::Detections results = evaluate::read_detections(request.results, skeleton.size(), pool);
    annotations_ = annotations.get();
    results_ = evaluated(std::move(results));
    if (has_baseline_) {
      baseline_ = evaluated(evaluate::read_detections(request.baseline, skeleton.size(), pool));
    }
  }

  Json json() const {
    Json json = figures_json(results_.curves.figures);
    if (has_baseline_) {
      json["baseline"] = figures_json(baseline_.curves.figures);
      json["gain"] = gain_json(baseline_.curves.figures, results_.curves.figures);
      add_intervals(json);
    }
    if (!request_.slices.empty()) add_slices(json);
    if (request_.errors) {
      json["errors"]["results"] = diagnosis_json(diagnose(results_));
      if (has_baseline_) json["errors"]["baseline"] = diagnosis_json(diagnose(baseline_));
    }
    json["curve"] = curve_json(results_.curves);
    json["reliability"] = reliability_json(results_.matches);
    return json;
  }

 private:
  Evaluated evaluated(evaluate::Detections detections) const {
    Evaluated result{std::move(detections), {}, {}};
    result.matches = evaluate::match(annotations_, result.detections, skeleton_.sigmas, pool_, has_baseline_);
    result.curves = evaluate::figures(result.matches);
    return result;
  }

  evaluate::ErrorDiagnosis diagnose(const Evaluated& evaluated) const {
    return evaluate::diagnose_errors(annotations_, evaluated.detections, skeleton_, pool_);
  }

  void add_intervals(Json& json) const {
    const evaluate::BootstrapOptions options{request_.bootstrap, request_.seed};
    const auto similarity = [&](const Evaluated& evaluated) {
      return evaluate::joint_similarity(annotations_, evaluated.detections, evaluated.matches, skeleton_.sigmas);
    };
    const evaluate::JointSimilarity before = similarity(baseline_), after = similarity(results_);
    std::vector<evaluate::Interval> joint_intervals;
    if (request_.bootstrap > 0) {
      const auto intervals = evaluate::gain_intervals(baseline_.matches, results_.matches, options, pool_);
      for (size_t i = 0; i < intervals.size(); ++i) {
        json["gain_interval"][kCocoFigures[i].name] = interval_json(intervals[i]);
      }
      joint_intervals = evaluate::joint_gain_intervals(before, after, options, pool_);
    }
    for (size_t j = 0; j < skeleton_.joints.size(); ++j) {
      Json joint{{"joint", skeleton_.joints[j]},
                 {"baseline", number_or_null(before.mean(j))},
                 {"results", number_or_null(after.mean(j))},
                 {"gain", number_or_null(after.mean(j) - before.mean(j))}};
      if (!joint_intervals.empty()) joint["interval"] = interval_json(joint_intervals[j]);
      json["joints"].push_back(std::move(joint));
    }
  }

  void add_slices(Json& json) const {
    for (const auto& [name, weights] : read_slices(request_.slices, results_.matches)) {
      const evaluate::CocoFigures after = evaluate::figures(results_.matches, weights).figures;
      Json& slice = json["by"][name];
      slice = figures_json(after);
      if (!has_baseline_) continue;
      const evaluate::CocoFigures before = evaluate::figures(baseline_.matches, weights).figures;
      slice["baseline"] = figures_json(before);
      slice["gain"] = gain_json(before, after);
    }
  }

  const EvaluateRequest& request_;
  const pose::Skeleton& skeleton_;
  ThreadPool& pool_;
  bool has_baseline_;
  dataset::CocoAnnotations annotations_;
  Evaluated results_;
  Evaluated baseline_;
};

enum class Show { kFigure, kGain, kLow, kHigh };

std::string row(const std::string& name, const Json& figures, Show show) {
  std::string line = fmt::format("{:<22}", name);
  for (const auto& [key, member] : kCocoFigures) {
    Json value = figures[key];
    if (value.is_array()) value = value[show == Show::kLow ? 0 : 1];
    if (value.is_null() || (show == Show::kFigure && value.get<double>() < 0)) {
      line += fmt::format("{:>8}", "-");
    } else {
      line += show == Show::kFigure ? fmt::format("{:>8.2f}", 100 * value.get<double>())
                                    : fmt::format("{:>+8.2f}", 100 * value.get<double>());
    }
  }
  return line + "\n";
}

std::string joint_rows(const Json& joints) {
  std::string table = "\njoint                 similarity: baseline  results     gain   95% interval\n";
  const auto percent = [](const Json& value) { return value.is_null() ? 0.0 : 100 * value.get<double>(); };
  for (const Json& joint : joints) {
    table += fmt::format("{:<22}{:>20.2f}{:>9.2f}{:>+9.2f}", joint["joint"].get<std::string>(),
                         percent(joint["baseline"]), percent(joint["results"]), percent(joint["gain"]));
    if (joint.contains("interval") && !joint["interval"].is_null()) {
      table += fmt::format("   {:+.2f} to {:+.2f}", percent(joint["interval"][0]), percent(joint["interval"][1]));
    }
    table += "\n";
  }
  return table;
}

std::string error_rows(const Json& errors) {
  std::string table = fmt::format("\n{:<22}", "AP lost to");
  const bool has_baseline = errors.contains("baseline");
  if (has_baseline) table += fmt::format("{:>10}", "baseline");
  table += fmt::format("{:>10}\n", "results");
  for (const auto& [kind, cost] : errors["results"]["cost"].items()) {
    table += fmt::format("{:<22}", kind);
    if (has_baseline) table += fmt::format("{:>10.2f}", 100 * errors["baseline"]["cost"][kind].get<double>());
    table += fmt::format("{:>10.2f}\n", 100 * cost.get<double>());
  }
  return table;
}

}  // namespace

Json evaluate_coco(const EvaluateRequest& request, const pose::Skeleton& skeleton, ThreadPool& pool) {
  return CocoEvaluation(request, skeleton, pool).json();
}

std::string coco_table(const Json& json) {
  std::string table = fmt::format("{:<22}", "percent");
  for (const auto& [name, member] : kCocoFigures) table += fmt::format("{:>8}", name);
  table += "\n";
  if (json.contains("baseline")) table += row("baseline", json["baseline"], Show::kFigure);
  table += row("results", json, Show::kFigure);
  if (json.contains("gain")) table += row("gain", json["gain"], Show::kGain);
  if (json.contains("gain_interval")) {
    table += row("  95% interval from", json["gain_interval"], Show::kLow);
    table += row("                 to", json["gain_interval"], Show::kHigh);
  }
  if (json.contains("by")) {
    for (const auto& [name, slice] : json["by"].items()) {
      table += row(name, slice, Show::kFigure);
      if (slice.contains("gain")) table += row("  gain", slice["gain"], Show::kGain);
    }
  }
  if (json.contains("joints")) table += joint_rows(json["joints"]);
  if (json.contains("errors")) table += error_rows(json["errors"]);
  return table;
}

}  // namespace posefix::cli

// posefix evaluate: figures of a results file, alone or against the poses it was made from.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/command.h"
#include "evaluate/coco_keypoints.h"
#include "pose/skeleton.h"

namespace posefix::cli {
namespace {

struct Flags {
  std::string annotations;
  std::string results;
  std::string baseline;
  std::string skeleton = "coco17";
  int threads = 0;
  bool json = false;
};

using Json = nlohmann::ordered_json;

Json figures_json(const evaluate::CocoFigures& figures) {
  Json json;
  for (const auto& [name, value] : evaluate::kCocoFigures) json[name] = figures.*value;
  return json;
}

// What the results gain over the baseline; null where a figure does not exist.
Json gain_json(const evaluate::CocoFigures& before, const evaluate::CocoFigures& after) {
  Json json;
  for (const auto& [name, value] : evaluate::kCocoFigures) {
    const bool exists = before.*value >= 0 && after.*value >= 0;
    json[name] = exists ? Json(after.*value - before.*value) : Json(nullptr);
  }
  return json;
}

std::string row(const std::string& name, const Json& figures, bool with_sign) {
  std::string line = fmt::format("{:<12}", name);
  for (const auto& [key, member] : evaluate::kCocoFigures) {
    const Json& value = figures[key];
    const bool exists = !value.is_null() && (with_sign || value.get<double>() >= 0);
    if (!exists) {
      line += fmt::format("{:>8}", "-");
    } else {
      line += with_sign ? fmt::format("{:>+8.2f}", 100 * value.get<double>())
                        : fmt::format("{:>8.2f}", 100 * value.get<double>());
    }
  }
  return line + "\n";
}

void print_table(const Json& json) {
  std::string table = fmt::format("{:<12}", "percent");
  for (const auto& [name, member] : evaluate::kCocoFigures) table += fmt::format("{:>8}", name);
  table += "\n";
  if (json.contains("baseline")) table += row("baseline", json["baseline"], false);
  table += row("results", json, false);
  if (json.contains("gain")) table += row("gain", json["gain"], true);
  std::fputs(table.c_str(), stdout);
}

void run(const Flags& flags) {
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  ThreadPool pool(flags.threads);
  const dataset::CocoAnnotations annotations = dataset::read_coco_annotations(flags.annotations);
  const auto evaluate_file = [&](const std::string& file) {
    const evaluate::Detections detections = evaluate::read_detections(file, skeleton.size(), pool);
    return evaluate::figures(evaluate::match(annotations, detections, skeleton.sigmas, pool)).figures;
  };
  const evaluate::CocoFigures results = evaluate_file(flags.results);
  Json json = figures_json(results);
  if (!flags.baseline.empty()) {
    const evaluate::CocoFigures baseline = evaluate_file(flags.baseline);
    json["baseline"] = figures_json(baseline);
    json["gain"] = gain_json(baseline, results);
  }
  if (flags.json) {
    std::fputs((json.dump(2) + "\n").c_str(), stdout);
  } else {
    print_table(json);
  }
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations, "COCO keypoint annotations (JSON)")->required();
  app.add_option("--results", flags->results, "poses to evaluate (COCO keypoint results)")->required();
  app.add_option("--baseline", flags->baseline, "poses to compare with, such as the input of the refinement");
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file")->capture_default_str();
  app.add_option("--threads", flags->threads, "threads, 0 = all cores")->capture_default_str();
  app.add_flag("--json", flags->json, "print JSON instead of a table");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"evaluate", "average precision and recall of poses", &setup};

}  // namespace
}  // namespace posefix::cli

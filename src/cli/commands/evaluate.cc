// posefix evaluate: figures of a results file, alone or against the poses it was made from.
#include <cstdio>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/evaluate_report.h"

namespace posefix::cli {
namespace {

struct Flags {
  EvaluateRequest request;
  std::string annotations;
  std::string results;
  std::string baseline;
  std::string slices;
  std::string protocol = "coco";
  std::string skeleton;
  int threads = 0;
  bool json = false;
};

void run(const Flags& flags) {
  EvaluateRequest request = flags.request;
  request.annotations = flags.annotations;
  request.results = flags.results;
  request.baseline = flags.baseline;
  request.slices = flags.slices;
  if (request.bootstrap < 0) throw bad_input("evaluate: --bootstrap {}: expected 0 or more", request.bootstrap);
  const bool is_coco = flags.protocol == "coco";
  if (!is_coco && (!flags.slices.empty() || request.errors)) {
    throw bad_input("evaluate: --by and --errors belong to --protocol coco");
  }
  Json json;
  std::string table;
  if (is_coco) {
    ThreadPool pool(flags.threads);
    json = evaluate_coco(request, pose::Skeleton::load(flags.skeleton.empty() ? "coco17" : flags.skeleton), pool);
    if (!flags.json) table = coco_table(json);
  } else if (flags.protocol == "pckh") {
    json = evaluate_pckh(request, pose::Skeleton::load(flags.skeleton.empty() ? "mpii16" : flags.skeleton));
    if (!flags.json) table = groups_table(json);
  } else if (flags.protocol == "posetrack") {
    json = evaluate_posetrack(request);
    if (!flags.json) table = groups_table(json);
  } else {
    throw bad_input("evaluate: --protocol '{}' is not known; one of coco, pckh, posetrack", flags.protocol);
  }
  if (flags.json) {
    print_json(json);
  } else {
    std::fputs(table.c_str(), stdout);
  }
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations,
                 "coco, pckh: COCO keypoint annotations; posetrack: sequence file or folder of them")
      ->required();
  app.add_option("--results", flags->results, "poses to evaluate (COCO keypoint results, or PoseTrack sequences)")
      ->required();
  app.add_option("--baseline", flags->baseline, "poses to compare with, such as the input of the refinement");
  app.add_option("--protocol", flags->protocol, "coco, pckh or posetrack")->capture_default_str();
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file (coco: coco17, pckh: mpii16)");
  app.add_option("--by", flags->slices, "JSON object, image id -> name: figures of each slice as well");
  app.add_flag("--errors", flags->request.errors, "what each kind of error costs");
  app.add_option("--bootstrap", flags->request.bootstrap, "draws for the intervals of the gain, 0 = none")
      ->capture_default_str();
  app.add_option("--seed", flags->request.seed, "seed of the draws")->capture_default_str();
  app.add_option("--threads", flags->threads, "threads, 0 = all cores")->capture_default_str();
  app.add_flag("--json", flags->json, "print JSON instead of a table");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"evaluate", "average precision and recall of poses", &setup};

}  // namespace
}  // namespace posefix::cli

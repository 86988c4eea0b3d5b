// posefix report RUN: curves of a training run as one HTML page.
// posefix report --images DIR --poses P.json --results R.json --out page.html: a contact sheet of refined pictures as
// one HTML page, with figures when there are annotations.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/command.h"
#include "cli/exif_option.h"
#include "dataset/picture_locator.h"
#include "evaluate/coco_keypoints.h"
#include "report/before_after.h"
#include "report/comparison.h"
#include "report/contact_page.h"
#include "report/training_page.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  fs::path run, images, poses, results, annotations, out;
  std::string skeleton = "coco17";
  std::string title = "Poses before and after";
  int most = 200;
  image::ExifOrientation exif = image::ExifOrientation::kIgnore;
};

struct Figured {
  evaluate::CocoFigures figures;
  std::map<int64_t, report::PeopleFound> people;
};

Figured evaluate_poses(const dataset::CocoAnnotations& annotations, const dataset::PoseResults& poses,
                       const pose::Skeleton& skeleton, ThreadPool& pool) {
  const evaluate::Detections detections = evaluate::detections_of(poses.entries, skeleton.size());
  return {evaluate::figures(evaluate::match(annotations, detections, skeleton.sigmas, pool)).figures,
          report::people_found(annotations, detections, skeleton.sigmas, pool)};
}

report::Figures summary_of(const evaluate::CocoFigures& before, const evaluate::CocoFigures& after) {
  report::Figures summary;
  const auto percent = [](double value) { return value < 0 ? std::string("-") : fmt::format("{:.1f}", 100 * value); };
  for (const auto& [name, figure] : evaluate::kCocoFigures) {
    summary.emplace_back(name, percent(before.*figure) + " before, " + percent(after.*figure) + " after");
  }
  return summary;
}

// Image ids by first appearance, and each one's entries.
struct ByPicture {
  std::vector<int64_t> order;
  std::map<int64_t, std::vector<size_t>> entries;
};

ByPicture by_picture(const dataset::PoseResults& poses) {
  ByPicture found;
  for (size_t i = 0; i < poses.entries.size(); ++i) {
    std::vector<size_t>& of_picture = found.entries[poses.entries[i].image_id];
    if (of_picture.empty()) found.order.push_back(poses.entries[i].image_id);
    of_picture.push_back(i);
  }
  return found;
}

void report_training(const Flags& flags) {
  const fs::path page = flags.out.empty() ? flags.run / "report.html" : flags.out;
  report::write_training_page(flags.run, page);
  fmt::print("{}\n", page.string());
}

void report_poses(const Flags& flags) {
  for (const auto& [name, value] : {std::pair{"--images", &flags.images}, std::pair{"--poses", &flags.poses},
                                    std::pair{"--results", &flags.results}, std::pair{"--out", &flags.out}}) {
    if (value->empty()) throw bad_input("report: {} is missing; or name the folder of a training run", name);
  }
  check_folder(flags.images, "--images");
  check_can_write(flags.out);
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  const dataset::PoseResults poses = dataset::read_pose_results(flags.poses, {.joints = skeleton.size()});
  const dataset::PoseResults results = dataset::read_pose_results(flags.results, {.joints = skeleton.size()});
  const std::vector<std::optional<size_t>> pairs = report::pair_results(poses, results);

  dataset::CocoAnnotations annotations;
  Figured before;
  Figured after;
  report::Figures summary;
  const bool annotated = !flags.annotations.empty();
  if (annotated) {
    ThreadPool pool;
    annotations = dataset::read_coco_annotations(flags.annotations);
    before = evaluate_poses(annotations, poses, skeleton, pool);
    after = evaluate_poses(annotations, results, skeleton, pool);
    summary = summary_of(before.figures, after.figures);
  }

  auto [order, entries] = by_picture(poses);
  const auto shown = std::min(order.size(), static_cast<size_t>(std::max(0, flags.most)));
  summary.emplace_back("Pictures", fmt::format("{} of {}", shown, order.size()));
  summary.emplace_back("Poses", fmt::format("{} before, {} after", poses.entries.size(), results.entries.size()));
  report::ContactPage page(flags.out, flags.title, summary,
                           "Left the poses that came in, right what became of them; a thin line leads from where a "
                           "joint was to where it is. OKS is the mean over the annotated people of a picture, each "
                           "with the pose nearest to it: 1 is perfect, a person without a pose counts 0.");

  const dataset::PictureLocator locator(flags.images, annotated ? &annotations : nullptr);
  Progress progress("report", "pictures", static_cast<int64_t>(shown));
  for (size_t n = 0; n < shown; ++n) {
    throw_if_interrupted();
    std::vector<report::PosePair> people;
    for (const size_t i : entries[order[n]]) {
      people.push_back({&poses.entries[i].keypoints, pairs[i] ? &results.entries[*pairs[i]].keypoints : nullptr});
    }
    const fs::path picture = locator.find(order[n], poses.entries[entries[order[n]].front()].file_name);
    const report::PictureChange change = report::change_of(people);
    report::Figures figures{{"moved", fmt::format("{:.1f} px on average", change.mean_move_px)}};
    if (const auto found = before.people.find(order[n]); found != before.people.end()) {
      figures.emplace_back(
          "OKS", fmt::format("{:.3f} before, {:.3f} after", found->second.mean_oks, after.people[order[n]].mean_oks));
    }
    page.add(picture.filename().string(), report::before_after(image::decode(picture, flags.exif), skeleton, change),
             figures);
    progress.update(static_cast<int64_t>(n + 1));
  }
  progress.finish();
  page.finish();
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  CLI::Option* run = app.add_option("RUN", flags->run, "folder of a training run: its curves, into RUN/report.html");
  app.add_option("--images", flags->images, "folder of pictures")->excludes(run);
  app.add_option("--poses", flags->poses, "poses that went into refine")->excludes(run);
  app.add_option("--results", flags->results, "poses that came out")->excludes(run);
  app.add_option("--annotations", flags->annotations, "COCO keypoint annotations, for the figures");
  app.add_option("--out", flags->out, "HTML file; self-contained");
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file")->capture_default_str();
  app.add_option("--title", flags->title, "title of the page")->capture_default_str();
  app.add_option("--most", flags->most, "pictures at most")->capture_default_str();
  add_exif_option(app, flags->exif);
  return [flags] { flags->run.empty() ? report_poses(*flags) : report_training(*flags); };
}

const CommandRegistration registration{
    "report", "one HTML page: poses before and after, or the curves of a training run", &setup};

}  // namespace
}  // namespace posefix::cli

// posefix dataset check: reads a data set as training and evaluation would and reports everything that is wrong.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/exif_option.h"
#include "dataset/check_annotations.h"
#include "dataset/check_pictures.h"
#include "dataset/check_poses.h"
#include "image/image.h"
#include "pose/skeleton.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;
using dataset::CheckReport;
using dataset::CocoAnnotations;

struct Flags {
  std::string annotations;
  std::string images;
  std::string poses;
  std::string root;
  std::string dataset;
  std::string input_pose;
  std::string skeleton;
  int threads = 0;
  image::ExifOrientation exif = image::ExifOrientation::kIgnore;
  bool deep = false;
  bool json = false;
};

// A file that cannot be read is one error of the report; the other files are checked all the same.
template <typename Read>
auto attempt(CheckReport& report, Read&& read) -> std::optional<decltype(read())> {
  try {
    return read();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    report.error("files that cannot be read", error.what());
    return std::nullopt;
  }
}

dataset::PictureFacts probe_picture(const fs::path& path, image::ExifOrientation exif, bool deep) {
  dataset::PictureFacts facts;
  const image::ImageHeader header = image::read_header(path, exif);
  facts.width = header.width;
  facts.height = header.height;
  facts.exif_orientation = header.exif_orientation;
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  facts.format = file->text().starts_with("\xFF\xD8") ? "JPEG" : "PNG";
  if (!deep) return facts;
  try {
    (void)image::decode(file->bytes(), path.string());
  } catch (const Error& error) {
    facts.damage = error.what();
  }
  return facts;
}

// One annotation file and what belongs to it.
class Checker {
 public:
  Checker(const Flags& flags, const std::string& skeleton, CheckReport& report)
      : flags_(flags), skeleton_(pose::Skeleton::load(skeleton)), pool_(flags.threads), report_(report) {}

  std::optional<CocoAnnotations> annotations(const fs::path& path) {
    dataset::AnnotationReadOptions options;
    options.joints = skeleton_.size();
    options.findings = report_.sink();
    options.keep_going = true;
    std::optional<CocoAnnotations> set =
        attempt(report_, [&] { return dataset::read_coco_annotations(path, options); });
    if (set) dataset::check_annotations(*set, skeleton_, report_);
    return set;
  }

  void pictures(const CocoAnnotations& set, const fs::path& folder) {
    const auto probe = [&](const fs::path& path, bool deep) { return probe_picture(path, flags_.exif, deep); };
    dataset::check_pictures(set, folder, probe, flags_.deep, pool_, report_);
  }

  void poses(const fs::path& path, const std::vector<const CocoAnnotations*>& sets) {
    const std::optional<dataset::PoseResults> results = read_poses(path, false);
    if (results) dataset::check_poses(*results, sets, report_);
  }

  void train_set_poses(const fs::path& path, const CocoAnnotations& train) {
    const size_t errors = report_.errors();
    const std::optional<dataset::PoseResults> results = read_poses(path, true);
    // With entries left out the counts would be wrong for a reason that was already said.
    if (results && report_.errors() == errors) dataset::check_train_set_poses(*results, train, report_);
  }

 private:
  std::optional<dataset::PoseResults> read_poses(const fs::path& path, bool require_bbox) {
    dataset::PoseReadOptions options;
    options.joints = skeleton_.size();
    options.require_bbox = require_bbox;
    options.findings = [&](dataset::Finding finding) {
      // MPII's and PoseTrack's results have a score per joint; that is worth a word only for COCO.
      if (skeleton_.name == "coco17" || finding.kind != dataset::kScoresOnly) report_.add(std::move(finding));
    };
    options.keep_going = true;
    return attempt(report_, [&] { return dataset::read_pose_results(path, options); });
  }

  const Flags& flags_;
  pose::Skeleton skeleton_;
  ThreadPool pool_;
  CheckReport& report_;
};

struct TreeSet {
  const char* annotations;  // in annotations/
  const char* pictures;     // file names are relative to this folder
  bool required;
};

// Layout of the original project's data tree: ROOT/FOLDER/{annotations,images,input_pose/{NAME.json,
// test_on_trainset/result.json}}.
struct Tree {
  const char* name;
  const char* folder;
  const char* skeleton;
  TreeSet train;
  std::vector<TreeSet> others;  // the first is the one that the input poses are for
};

const std::vector<Tree>& trees() {
  static const std::vector<Tree> kTrees{{"coco",
                                         "COCO",
                                         "coco17",
                                         {"person_keypoints_train2017.json", "images/train2017", true},
                                         {{"person_keypoints_val2017.json", "images/val2017", true},
                                          {"image_info_test-dev2017.json", "images/test2017", false}}},
                                        {"mpii", "MPII", "mpii16", {"train.json", "", true}, {{"test.json", "", true}}},
                                        {"posetrack",
                                         "PoseTrack",
                                         "posetrack17",
                                         {"train2018.json", "", true},
                                         {{"val2018.json", "", true}, {"test2018.json", "", false}}}};
  return kTrees;
}

const Tree& find_tree(const std::string& name) {
  std::vector<std::string> known;
  for (const Tree& tree : trees()) {
    if (tree.name == name) return tree;
    known.emplace_back(tree.name);
  }
  throw bad_input("dataset check: --dataset '{}' is not known; one of {}", name, fmt::join(known, ", "));
}

void check_tree(const Flags& flags, const Tree& tree, Checker& checker) {
  const fs::path folder = fs::path(flags.root) / tree.folder;
  const auto read = [&](const TreeSet& set) -> std::optional<CocoAnnotations> {
    const fs::path file = folder / "annotations" / set.annotations;
    if (!set.required && !fs::exists(file)) return std::nullopt;
    return checker.annotations(file);
  };
  const auto open_pictures = [&](const std::optional<CocoAnnotations>& annotations, const TreeSet& set) {
    if (annotations && (set.required || fs::exists(folder / set.pictures))) {
      checker.pictures(*annotations, folder / set.pictures);
    }
  };
  const std::optional<CocoAnnotations> train = read(tree.train);
  std::vector<std::optional<CocoAnnotations>> others;
  for (const TreeSet& set : tree.others) others.push_back(read(set));
  open_pictures(train, tree.train);
  for (size_t i = 0; i < others.size(); ++i) open_pictures(others[i], tree.others[i]);
  if (!flags.input_pose.empty()) {
    std::vector<const CocoAnnotations*> sets;
    for (const std::optional<CocoAnnotations>& set : others) {
      if (set) sets.push_back(&*set);
    }
    if (train) sets.push_back(&*train);
    checker.poses(folder / "input_pose" / flags.input_pose, sets);
  }
  if (train) checker.train_set_poses(folder / "input_pose" / "test_on_trainset" / "result.json", *train);
}

nlohmann::ordered_json json_of(const CheckReport& report) {
  using Json = nlohmann::ordered_json;
  Json json{{"errors", report.errors()}, {"warnings", report.warnings()}};
  for (const CheckReport::Group& group : report.groups()) {
    json["findings"].push_back({{"severity", group.severity == dataset::Severity::kError ? "error" : "warning"},
                                {"kind", group.kind},
                                {"count", group.count},
                                {"messages", group.messages}});
  }
  for (const dataset::AnnotationSummary& summary : report.annotations) {
    Json joints = Json::object();
    for (size_t j = 0; j < summary.joints.size(); ++j) joints[summary.joints[j]] = summary.visible[j];
    json["annotations"].push_back({{"file", summary.path},
                                   {"images", summary.images},
                                   {"images_without_people", summary.images_without_people},
                                   {"people", summary.annotations},
                                   {"for_training", summary.for_training},
                                   {"crowds", summary.crowds},
                                   {"unlabelled", summary.unlabelled},
                                   {"box_sizes", summary.box_sizes},
                                   {"joints_absent_occluded_visible", joints}});
  }
  for (const dataset::PoseSummary& summary : report.poses) {
    json["poses"].push_back({{"file", summary.path},
                             {"set", summary.set},
                             {"poses", summary.poses},
                             {"images", summary.images},
                             {"images_without_poses", summary.images_without_poses}});
  }
  for (const dataset::PictureSummary& summary : report.pictures) {
    json["pictures"].push_back({{"folder", summary.folder},
                                {"opened", summary.pictures},
                                {"unreadable", summary.unreadable},
                                {"exif_rotated", summary.exif_rotated_count}});
  }
  return json;
}

void run(const Flags& flags) {
  if (flags.root.empty() == flags.annotations.empty()) {
    throw bad_input("dataset check: give either --annotations A.json or --root DIR --dataset coco|mpii|posetrack");
  }
  CheckReport report;
  const Tree* tree = flags.root.empty() ? nullptr : &find_tree(flags.dataset);
  std::string skeleton = flags.skeleton;
  if (skeleton.empty()) skeleton = tree != nullptr ? tree->skeleton : "coco17";
  Checker checker(flags, skeleton, report);
  if (tree != nullptr) {
    check_tree(flags, *tree, checker);
  } else {
    const std::optional<CocoAnnotations> set = checker.annotations(flags.annotations);
    if (set && !flags.images.empty()) checker.pictures(*set, flags.images);
    std::vector<const CocoAnnotations*> sets;
    if (set) sets.push_back(&*set);
    if (!flags.poses.empty()) checker.poses(flags.poses, sets);
  }
  if (flags.json) {
    print_json(json_of(report));
  } else {
    std::fputs(report.text().c_str(), stdout);
  }
  std::fflush(stdout);
  if (report.errors() > 0) {
    throw bad_input("the data set has {} errors:{}", report.errors(), report.first_errors());
  }
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--annotations", flags->annotations, "COCO keypoint annotations (JSON)");
  app.add_option("--images", flags->images, "folder of the pictures");
  app.add_option("--poses", flags->poses, "poses of an estimator (COCO keypoint results)");
  app.add_option("--root", flags->root, "data tree: ROOT/{COCO,MPII,PoseTrack}/{annotations,images,input_pose}");
  app.add_option("--dataset", flags->dataset, "data set in the tree: coco, mpii or posetrack");
  app.add_option("--input-pose", flags->input_pose, "file in the tree's input_pose folder");
  app.add_option("--skeleton", flags->skeleton, "shipped skeleton or YAML file; by default the data set's");
  app.add_option("--threads", flags->threads, "threads, 0 = all cores")->capture_default_str();
  add_exif_option(app, flags->exif);
  app.add_flag("--deep", flags->deep, "decode every picture, not only its header");
  app.add_flag("--json", flags->json, "print JSON instead of text");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"dataset check", "report everything that is wrong with a data set", &setup};

}  // namespace
}  // namespace posefix::cli

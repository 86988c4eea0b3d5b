// posefix poses convert ESTIMATOR --in FILE|DIR --skeleton NAME --out P.json: what estimators write to a pose file, and
// back with --reverse.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/interrupt.h"
#include "cli/command.h"
#include "cli/exif_option.h"
#include "dataset/formats/convert_poses.h"
#include "dataset/formats/dataset_formats.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;
namespace formats = dataset::formats;

struct Flags {
  std::string estimator;
  fs::path in;
  fs::path out;
  fs::path images;
  fs::path annotations;
  std::string skeleton;
  std::string joints;
  image::ExifOrientation exif = image::ExifOrientation::kIgnore;
  bool reverse = false;
};

formats::PictureSize picture_size(const fs::path& path, image::ExifOrientation exif) {
  throw_if_interrupted();
  const image::ImageHeader header = image::read_header(path, exif);
  return {header.width, header.height};
}

void run(const Flags& flags) {
  const formats::PoseFormat& format = formats::pose_format(flags.estimator);
  const pose::Skeleton skeleton = pose::Skeleton::load(flags.skeleton);
  formats::PictureFolder pictures;
  if (!flags.images.empty()) {
    pictures =
        formats::PictureFolder(flags.images, [&](const fs::path& path) { return picture_size(path, flags.exif); });
  }
  std::optional<dataset::CocoAnnotations> annotations;
  if (!flags.annotations.empty()) annotations = dataset::read_coco_annotations(flags.annotations);
  const formats::PictureNames names{&pictures, annotations ? &*annotations : nullptr};
  if (!flags.reverse) {
    const formats::EstimatorPoses poses = format.read({flags.in, pictures, flags.joints});
    for (const std::string& note : formats::write_pose_file(flags.out, poses, skeleton, names)) {
      fmt::print(stderr, "note: {}\n", note);
    }
    fmt::print(stderr, "{}: {} people read, skeleton {}\n", flags.out.string(), poses.poses.size(), skeleton.name);
    return;
  }
  const std::string wanted = flags.joints.empty() ? format.joints : flags.joints;
  const formats::JointSet joints = wanted.empty()
                                       ? formats::JointSet{skeleton.name, skeleton.joints, {}, skeleton.size()}
                                       : formats::joint_set(wanted);
  const formats::EstimatorPoses poses = formats::read_pose_file(flags.in, skeleton, joints, names);
  if (format.writes_folder) formats::make_folder(flags.out);
  format.write(poses, {flags.out, pictures});
  fmt::print(stderr, "{}: {} people written with the joints {}\n", flags.out.string(), poses.poses.size(), joints.name);
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("estimator", flags->estimator, fmt::format("{}", fmt::join(formats::pose_format_names(), ", ")))
      ->required();
  app.add_option("--in", flags->in, "the estimator's file or folder (with --reverse: P.json)")->required();
  app.add_option("--out", flags->out, "P.json (with --reverse: the estimator's file or folder)")->required();
  app.add_option("--images", flags->images,
                 "the pictures: for file names, and for the size where coordinates are relative");
  app.add_option("--annotations", flags->annotations, "COCO annotations that say which picture has which id");
  app.add_option("--skeleton", flags->skeleton, "joints of P.json: coco17, mpii16, ... or a YAML file")->required();
  app.add_option("--joints", flags->joints,
                 fmt::format("the estimator's joints, if their number does not tell: {}",
                             fmt::join(formats::joint_set_names(), ", ")));
  add_exif_option(app, flags->exif);
  app.add_flag("--reverse", flags->reverse, "from P.json to the estimator's form");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"poses convert", "what pose estimators write to a pose file (P.json) and back",
                                       &setup};

}  // namespace
}  // namespace posefix::cli

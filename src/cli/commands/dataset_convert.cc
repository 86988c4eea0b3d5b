// posefix dataset convert FORMAT --in DIR --out DIR: between other data sets and COCO form.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/interrupt.h"
#include "cli/command.h"
#include "dataset/formats/dataset_formats.h"
#include "image/image.h"

namespace posefix::cli {
namespace {

namespace fs = std::filesystem;
namespace formats = dataset::formats;

struct Flags {
  std::string format;
  fs::path in;
  fs::path out;
  fs::path images;
  bool reverse = false;
};

formats::PictureSize picture_size(const fs::path& path) {
  throw_if_interrupted();
  const image::ImageHeader header = image::read_header(path);
  return {header.width, header.height};
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
}

void to_coco(const formats::DatasetFormat& format, const Flags& flags) {
  formats::DatasetSource source;
  source.folder = flags.in;
  source.images = flags.images;
  source.picture_size = &picture_size;
  const formats::Conversion conversion = format.read(source);
  print_notes(conversion.notes);
  formats::make_folder(flags.out / "annotations");
  for (const formats::Split& split : conversion.splits) {
    const fs::path path = flags.out / "annotations" / (split.name + ".json");
    formats::write_annotation_set(path, split.set);
    fmt::print(stderr, "{}: {} pictures, {} people, skeleton {}\n", path.string(), split.set.coco.images.size(),
               split.set.coco.annotations.size(), split.set.skeleton);
  }
}

void from_coco(const formats::DatasetFormat& format, const Flags& flags) {
  const std::vector<formats::Split> splits = formats::read_coco_splits(flags.in, format.skeleton);
  formats::make_folder(flags.out);
  print_notes(format.write(splits, flags.out));
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("format", flags->format, fmt::format("{}", fmt::join(formats::dataset_format_names(), ", ")))
      ->required();
  app.add_option("--in", flags->in, "the data set as unpacked (with --reverse: COCO-form annotations)")->required();
  app.add_option("--out", flags->out, "folder; COCO-form files come into its annotations/")->required();
  app.add_option("--images", flags->images, "the pictures, if they do not lie in IN/images");
  app.add_flag("--reverse", flags->reverse, "from COCO form back to FORMAT");
  return [flags] {
    const formats::DatasetFormat& format = formats::dataset_format(flags->format);
    if (flags->reverse) {
      from_coco(format, *flags);
    } else {
      to_coco(format, *flags);
    }
  };
}

const CommandRegistration registration{"dataset convert",
                                       "MPII, PoseTrack, LSP, CrowdPose, AI Challenger to COCO form and back", &setup};

}  // namespace
}  // namespace posefix::cli

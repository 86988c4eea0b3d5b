#include "dataset/formats/crowdpose.h"

#include <fmt/format.h>

namespace posefix::dataset::formats {
namespace {

constexpr double kFilled = 0.53;

}  // namespace

Conversion read_crowdpose(const DatasetSource& source) {
  Conversion result;
  result.splits = read_coco_splits(source.folder, "crowdpose14");
  const std::filesystem::path folder = image_folder(source);
  for (Split& split : result.splits) {
    size_t recounted = 0;
    for (Annotation& person : split.set.coco.annotations) {
      // 0 stays: it marks people who do not count.
      const int labelled = person.num_keypoints == 0 ? 0 : labelled_joints(person.keypoints);
      recounted += labelled != person.num_keypoints ? 1 : 0;
      person.num_keypoints = labelled;
      // What the reader puts in for a missing area; a true area is that of a segment, never the box's.
      if (person.area == person.bbox.w * person.bbox.h) person.area = kFilled * person.bbox.w * person.bbox.h;
    }
    if (recounted > 0) {
      result.notes.push_back(fmt::format("{}: num_keypoints of {} people was not the number of their joints with v > 0",
                                         split.set.coco.path, recounted));
    }
    for (AnnotatedImage& image : split.set.coco.images) {
      if (image.width == 0) measure(image, folder, source.picture_size);
    }
  }
  return result;
}

std::vector<std::string> write_crowdpose(std::span<const Split> splits, const std::filesystem::path& out) {
  for (const Split& split : splits) write_annotation_set(out / (split.name + ".json"), split.set);
  return {};
}

}  // namespace posefix::dataset::formats

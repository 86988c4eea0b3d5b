// What every data-set format is converted to and from: COCO annotations plus the fields that COCO does not define.
//
// Fields that COCO lacks (PoseTrack's track_id, MPII's head box) travel as the JSON text they have, so that a way back
// loses nothing and no number is rounded on the way. Invariants: image_fields and annotation_fields are parallel to
// coco.images and coco.annotations; every annotation has one joint per joint of `skeleton`, in its order.
// Non-goals: segmentations, categories other than people.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/coco_annotations.h"
#include "pose/skeleton.h"

namespace posefix::dataset::formats {

struct ExtraField {
  std::string name;
  std::string json;  // the value as JSON text
};
using ExtraFields = std::vector<ExtraField>;

struct AnnotationSet {
  std::string skeleton;  // a shipped name: mpii16, posetrack17, lsp14, crowdpose14, aic14
  CocoAnnotations coco;
  std::vector<ExtraFields> image_fields;
  std::vector<ExtraFields> annotation_fields;

  void add_image(AnnotatedImage image, ExtraFields fields = {});
  void add_annotation(Annotation annotation, ExtraFields fields = {});
};

// The value of a field, nullptr if there is none of this name.
const std::string* find_field(const ExtraFields& fields, std::string_view name);

// Width and height of a picture in px. Callers give a function that reads headers (image::read_header): decoding lies
// in another layer.
struct PictureSize {
  int width = 0;
  int height = 0;
};
using ReadPictureSize = std::function<PictureSize(const std::filesystem::path&)>;

// Joints with v > 0.
int labelled_joints(const pose::Keypoints& keypoints);
// Extent of the joints with v > 0; an empty box if there is none.
pose::Box extent_of_labelled(const pose::Keypoints& keypoints);

// {"info", "images", "annotations", "categories"}: one category, person with id 1, whose keypoints and limbs are the
// skeleton's. Numbers are the shortest text that reads back to the same double. Atomic; the same set gives the same
// bytes.
void write_annotation_set(const std::filesystem::path& path, const AnnotationSet& set);

// Reads a COCO-form file whose people have the skeleton's joints. Joint names may be written in any usual way
// (r_ankle, RAnkle); when the category names them in another order, they are put in the skeleton's. Error (bad input)
// names file, JSON pointer and byte offset, or the joint that is missing.
AnnotationSet read_annotation_set(const std::filesystem::path& path, const std::string& skeleton);

}  // namespace posefix::dataset::formats

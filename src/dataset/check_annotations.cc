#include "dataset/check_annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "dataset/picture_locator.h"
#include "dataset/training_people.h"

namespace posefix::dataset {
namespace {

class AnnotationCheck {
 public:
  AnnotationCheck(const CocoAnnotations& annotations, const pose::Skeleton& skeleton, CheckReport& report)
      : annotations_(annotations), skeleton_(skeleton), report_(report) {}

  void run() {
    check_images();
    std::unordered_map<int64_t, size_t> first_with_id;
    for (const Annotation& annotation : annotations_.annotations) {
      const auto [first, is_new] = first_with_id.emplace(annotation.id, annotation.index);
      if (!is_new) {
        report_.error("annotation ids that occur twice",
                      fmt::format("{}: /annotations/{}/id, /annotations/{}/id: id {} occurs twice; one person would be "
                                  "lost",
                                  annotations_.path, first->second, annotation.index, annotation.id));
      }
      check_annotation(annotation);
    }
    check_categories();
    summarise();
  }

 private:
  std::string at(const Annotation& annotation, const char* field) const {
    return fmt::format("{}: /annotations/{}/{}", annotations_.path, annotation.index, field);
  }

  void check_images() {
    std::unordered_map<int64_t, size_t> first_with_id;
    for (size_t i = 0; i < annotations_.images.size(); ++i) {
      const AnnotatedImage& image = annotations_.images[i];
      const auto [first, is_new] = first_with_id.emplace(image.id, i);
      if (!is_new) {
        report_.error("image ids that occur twice", fmt::format("{}: /images/{}, /images/{}: image id {} occurs twice",
                                                                annotations_.path, first->second, i, image.id));
      }
      if (is_inside(image.file_name)) continue;
      const std::string place = fmt::format("{}: /images/{}/file_name", annotations_.path, i);
      if (std::filesystem::path(image.file_name).is_absolute()) {
        report_.warning("absolute file names", fmt::format("{}: '{}' is an absolute path, which is not followed; the "
                                                           "picture is looked for by its id",
                                                           place, image.file_name));
      } else {
        report_.error("file names outside the picture folder",
                      fmt::format("{}: '{}' leads out of the picture folder", place, image.file_name));
      }
    }
  }

  void check_annotation(const Annotation& annotation) {
    if (annotation.id == 0) {
      report_.warning("annotations with id 0", at(annotation, "id") +
                                                   ": id 0: pycocotools takes its match for none, so "
                                                   "a pose that finds it counts as false");
    }
    const AnnotatedImage* image = annotations_.find_image(annotation.image_id);
    if (image == nullptr) {
      report_.error("annotations of unlisted images",
                    fmt::format("{}: no image has the id {}", at(annotation, "image_id"), annotation.image_id));
    }
    check_box(annotation, image);
    check_joints(annotation);
  }

  void check_box(const Annotation& annotation, const AnnotatedImage* image) {
    const pose::Box& box = annotation.bbox;
    if (box.w < 0 || box.h < 0) {
      report_.warning("boxes of negative size", fmt::format("{}: {} {}; the person is left out of training",
                                                            at(annotation, box.w < 0 ? "bbox/2" : "bbox/3"),
                                                            box.w < 0 ? "width" : "height", box.w < 0 ? box.w : box.h));
    } else if (box.w == 0 || box.h == 0) {
      report_.warning("boxes of no size", fmt::format("{}: {} x {}; the person is left out of training",
                                                      at(annotation, "bbox"), box.w, box.h));
    } else if (image != nullptr && image->width > 0 &&
               (box.x >= image->width || box.y >= image->height || box.x + box.w <= 0 || box.y + box.h <= 0)) {
      report_.warning("boxes outside the picture",
                      fmt::format("{}: [{}, {}, {}, {}] lies beyond the picture of {} x {}", at(annotation, "bbox"),
                                  box.x, box.y, box.w, box.h, image->width, image->height));
    }
  }

  void check_joints(const Annotation& annotation) {
    int labelled = 0;
    for (size_t j = 0; j < annotation.keypoints.size(); ++j) {
      const double v = annotation.keypoints[j].score;
      labelled += v > 0;
      if (v != 0 && v != 1 && v != 2) {
        report_.warning("visibility flags out of range",
                        fmt::format("{}: v = {} (0 absent, 1 occluded, 2 visible)",
                                    at(annotation, fmt::format("keypoints/{}", 3 * j + 2).c_str()), v));
      }
    }
    if (labelled != annotation.num_keypoints) {
      report_.warning("num_keypoints that do not match",
                      fmt::format("{}: {}, but {} joints have v > 0", at(annotation, "num_keypoints"),
                                  annotation.num_keypoints, labelled));
    }
  }

  void check_categories() {
    if (!annotations_.has_categories) {
      report_.warning("no categories",
                      fmt::format("{}: /: no field 'categories'; other evaluators need it", annotations_.path));
    }
    for (size_t i = 0; i < annotations_.categories.size(); ++i) {
      const Category& category = annotations_.categories[i];
      const auto names = static_cast<int>(category.keypoints.size());
      if (names == 0 || annotations_.joints == 0 || names == annotations_.joints) continue;
      report_.warning("categories with another number of joints",
                      fmt::format("{}: /categories/{}/keypoints: {} joint names, but the annotations have {} joints",
                                  annotations_.path, i, names, annotations_.joints));
    }
  }

  void summarise() {
    AnnotationSummary summary;
    summary.path = annotations_.path;
    summary.images = annotations_.images.size();
    summary.annotations = annotations_.annotations.size();
    summary.for_training = training_people(annotations_, nullptr).size();
    const auto joints = static_cast<size_t>(annotations_.joints);
    for (size_t j = 0; j < joints; ++j) {
      summary.joints.push_back(joints == skeleton_.joints.size() ? skeleton_.joints[j] : fmt::format("joint {}", j));
    }
    summary.visible.resize(joints);
    std::unordered_set<int64_t> with_people;
    for (const Annotation& annotation : annotations_.annotations) {
      with_people.insert(annotation.image_id);
      summary.crowds += annotation.iscrowd;
      summary.unlabelled += annotation.num_keypoints == 0;
      for (size_t j = 0; j < joints; ++j) {
        const double v = annotation.keypoints[j].score;
        ++summary.visible[j][v >= 2 ? 2 : v > 0 ? 1 : 0];
      }
      constexpr std::array<double, 5> kLimits_px{32, 64, 96, 192, 384};
      const double side = std::max(annotation.bbox.w, annotation.bbox.h);
      ++summary.box_sizes[static_cast<size_t>(std::upper_bound(kLimits_px.begin(), kLimits_px.end(), side) -
                                              kLimits_px.begin())];
    }
    for (const AnnotatedImage& image : annotations_.images) {
      summary.images_without_people += with_people.count(image.id) == 0;
    }
    report_.annotations.push_back(std::move(summary));
  }

  const CocoAnnotations& annotations_;
  const pose::Skeleton& skeleton_;
  CheckReport& report_;
};

}  // namespace

void check_annotations(const CocoAnnotations& annotations, const pose::Skeleton& skeleton, CheckReport& report) {
  AnnotationCheck(annotations, skeleton, report).run();
}

}  // namespace posefix::dataset

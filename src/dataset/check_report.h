// What `dataset check` found: figures and findings, grouped so that a thousand findings of one sort stay readable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "dataset/finding.h"

namespace posefix::dataset {

// Figures of one annotation file.
struct AnnotationSummary {
  std::string path;
  size_t images = 0;
  size_t images_without_people = 0;
  size_t annotations = 0;
  size_t crowds = 0;
  size_t unlabelled = 0;                       // num_keypoints 0
  size_t for_training = 0;                     // people that training keeps
  std::vector<std::string> joints;             // names, or "joint 0", ...
  std::vector<std::array<size_t, 3>> visible;  // per joint: absent, occluded, visible
  // Boxes by their longer side: < 32, < 64, < 96, < 192, < 384, >= 384 px.
  std::array<size_t, 6> box_sizes{};
};

// Figures of one pose file.
struct PoseSummary {
  std::string path;
  std::string set;  // annotation file it belongs to
  size_t poses = 0;
  size_t images = 0;                // pictures that have poses
  size_t images_without_poses = 0;  // pictures of the set that have people but no pose
};

// Figures of one picture folder.
struct PictureSummary {
  std::string folder;
  size_t pictures = 0;
  size_t unreadable = 0;
  std::vector<std::string> exif_rotated;  // the first few that carry an EXIF orientation other than 1
  size_t exif_rotated_count = 0;
};

// Findings may come from several threads; the figures from one.
class CheckReport {
 public:
  void add(Finding finding);
  void error(std::string kind, std::string message) { add({Severity::kError, std::move(kind), std::move(message)}); }
  void warning(std::string kind, std::string message) {
    add({Severity::kWarning, std::move(kind), std::move(message)});
  }
  FindingSink sink();

  size_t errors() const { return errors_; }
  size_t warnings() const { return warnings_; }

  struct Group {
    Severity severity;
    std::string kind;
    size_t count = 0;
    std::vector<std::string> messages;  // the first kShown
  };
  static constexpr size_t kShown = 5;
  // Errors first, each group in the order of its first finding.
  std::vector<Group> groups() const;

  // Figures, then findings.
  std::string text() const;
  // The first messages of every group of errors, for the program's last word.
  std::string first_errors() const;

  std::vector<AnnotationSummary> annotations;
  std::vector<PoseSummary> poses;
  std::vector<PictureSummary> pictures;

 private:
  mutable std::mutex mutex_;
  std::vector<Group> groups_;
  size_t errors_ = 0;
  size_t warnings_ = 0;
};

}  // namespace posefix::dataset

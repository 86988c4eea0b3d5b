// Results files: COCO keypoint results in, the same entries with better keypoints out.
//
//   [{"image_id": 397133, "category_id": 1, "keypoints": [x,y,score, ...K triples], "score": 0.82,
//     "bbox": [x,y,w,h], "file_name": "...", anything else}, ...]
//
// MPII and PoseTrack entries carry "scores" [K] instead of "score". Written entries keep their order and every byte of
// what is not replaced: "keypoints" (rounded to 3 decimals, third value 1.0) and "score" (the mean of the joints'
// scores, rounded to 4 decimals). Source: PoseFix_RELEASE main/test.py, lib/datasets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "pose/keypoints.h"

namespace posefix::refine {

struct PoseEntry {
  // Where the entry and the values that are replaced stand in the file; empty if there is no such value.
  struct Span {
    size_t begin = 0;
    size_t end = 0;
  };

  int64_t image_id = 0;
  int64_t category_id = 0;
  std::string file_name;         // "" if the entry has none
  double score = 0;              // "score", or the mean of "scores"
  pose::Keypoints keypoints;     // [K] image_px, the estimator's score per joint
  std::optional<pose::Box> box;  // "bbox", image_px
  Span text, keypoints_text, score_text;
};

class PoseFile {
 public:
  // Reads and checks every entry. Error (bad input) names file, entry, field and byte offset: not `joints` triples,
  // a coordinate that is no finite number, a missing field, a box without extent, anything that is not strict JSON.
  static PoseFile read(const std::filesystem::path& path, int joints);

  const std::filesystem::path& path() const { return file_->path(); }
  const std::vector<PoseEntry>& entries() const { return entries_; }
  // "P.json: entry 3" for messages.
  std::string place(size_t entry) const;

  // The entry's text with its keypoints and score replaced. `coords_px` is [K,2] image_px.
  std::string rewritten(size_t entry, std::span<const double> coords_px, double score) const;

 private:
  PoseFile(std::shared_ptr<const MappedFile> file, std::vector<PoseEntry> entries)
      : file_(std::move(file)), entries_(std::move(entries)) {}

  std::shared_ptr<const MappedFile> file_;
  std::vector<PoseEntry> entries_;
};

// A file name for every picture that an annotation file lists, and the categories it knows.
struct AnnotatedPictures {
  std::vector<std::pair<int64_t, std::string>> file_names;  // by ascending image id
  std::vector<int64_t> categories;                          // empty: the file names none

  // Error (bad input) names file, picture and field.
  static AnnotatedPictures read(const std::filesystem::path& path);
  // nullptr if the id is not listed.
  const std::string* find(int64_t image_id) const;
  bool has_category(int64_t category_id) const;
};

}  // namespace posefix::refine

// Which poses of a results file are refined, and where their pictures lie.
//
// Without annotations every entry is refined; its picture is the entry's file_name or its image_id padded to 12 digits.
// With annotations these decide: file names come from them, and entries of other pictures, of other categories and with
// a score of 0 or less are left out, as the reference does. Source: PoseFix_RELEASE lib/datasets (input pose loading).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "refine/person.h"

namespace posefix::refine {

struct Selection {
  std::vector<size_t> entries;                  // refined ones, in file order
  std::vector<Person> people;                   // beside entries; borrow the results' keypoints
  std::vector<std::filesystem::path> pictures;  // in order of first use; all exist
  size_t unlisted = 0;                          // left out: picture not in the annotations
  size_t other_category = 0;                    // left out: category not in the annotations
  size_t no_score = 0;                          // left out: score <= 0

  size_t left_out() const { return unlisted + other_category + no_score; }
};

// `annotations` may be null. Error (bad input) names the entry that has no picture in `folder` or a box without extent,
// or says that no entry belongs to the annotations.
Selection select(const dataset::PoseResults& poses, const std::filesystem::path& folder,
                 const dataset::CocoAnnotations* annotations);

// The poses of one picture: those whose file_name or image_id fits its name, or all if they are of one image_id.
// Error (bad input) if it is not clear which ones belong to it.
Selection select_for_picture(const dataset::PoseResults& poses, const std::filesystem::path& picture);

}  // namespace posefix::refine

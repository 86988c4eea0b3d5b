#include "dataset/pose_entry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numeric>

namespace posefix::dataset {
namespace {

enum FieldBit : unsigned {
  kImageId = 1,
  kCategoryId = 2,
  kKeypoints = 4,
  kScore = 8,
  kScores = 16,
  kBbox = 32,
};

// What a wrong number of numbers most likely is.
std::string count_hint(size_t count, size_t joints) {
  if (count == 2 * joints) return "; are these x, y pairs without the score of each joint?";
  if (count % 3 != 0) return "; not a multiple of three";
  return fmt::format("; that is a skeleton of {} joints (posefix poses convert coco maps joints by name)", count / 3);
}

class EntryReader {
 public:
  EntryReader(JsonCursor& json, int* joints, PoseEntry& entry) : json_(json), joints_(joints), entry_(entry) {}

  void read(bool require_bbox) {
    const JsonCursor::Mark start = json_.mark();
    entry_.file_name.reset();
    entry_.scores.clear();
    entry_.bbox.clear();
    entry_.raw_score = {};
    entry_.raw_uncertainty = {};
    json_.object([&](std::string_view key) { field(key); });
    entry_.raw = json_.text().substr(start.offset, json_.offset() - start.offset);
    const auto require = [&](unsigned bit, const char* name) {
      if ((seen_ & bit) == 0) throw json_.error(start.offset, fmt::format("field '{}' is missing", name));
    };
    require(kImageId, "image_id");
    require(kCategoryId, "category_id");
    require(kKeypoints, "keypoints");
    if ((seen_ & kScores) == 0) require(kScore, "score");
    if (require_bbox) require(kBbox, "bbox");
    entry_.has_score = (seen_ & kScore) != 0;
    if (!entry_.has_score) {
      entry_.score =
          std::accumulate(entry_.scores.begin(), entry_.scores.end(), 0.0) / static_cast<double>(entry_.scores.size());
    }
  }

 private:
  void field(std::string_view key) {
    if (key == "keypoints") {
      seen_ |= kKeypoints;
      entry_.raw_keypoints = value_text([&] { read_keypoints(); });
    } else if (key == "image_id") {
      seen_ |= kImageId;
      entry_.image_id = json_.integer(&entry_.image_id_was_float);
    } else if (key == "category_id") {
      seen_ |= kCategoryId;
      bool was_float = false;
      entry_.category_id = json_.integer(&was_float);
    } else if (key == "score") {
      seen_ |= kScore;
      entry_.raw_score = value_text([&] { entry_.score = json_.number(); });
    } else if (key == "scores") {
      seen_ |= kScores;
      read_scores();
    } else if (key == "bbox") {
      read_bbox();
    } else if (key == "uncertainty") {
      entry_.raw_uncertainty = value_text([&] { json_.skip(); });
    } else if (key == "file_name") {
      entry_.file_name = json_.string();
    } else {
      json_.skip();
    }
  }

  template <typename Read>
  std::string_view value_text(Read&& read) {
    const size_t start = json_.mark().offset;
    read();
    return json_.text().substr(start, json_.offset() - start);
  }

  void read_keypoints() {
    const size_t start = json_.mark().offset;
    json_.numbers(entry_.keypoints);
    const size_t count = entry_.keypoints.size();
    if (*joints_ == 0 && count > 0 && count % 3 == 0) *joints_ = static_cast<int>(count / 3);
    const auto expected = static_cast<size_t>(*joints_) * 3;
    if (count == expected && count > 0) return;
    throw json_.error(start, fmt::format("expected {} numbers (x, y, score for each of {} joints), got {}{}", expected,
                                         *joints_, count, count_hint(count, static_cast<size_t>(*joints_))));
  }

  void read_scores() {
    const size_t start = json_.mark().offset;
    json_.numbers(entry_.scores);
    const size_t expected = *joints_ > 0 ? static_cast<size_t>(*joints_) : entry_.scores.size();
    if (entry_.scores.size() != expected || expected == 0) {
      throw json_.error(start,
                        fmt::format("expected {} scores, one per joint, got {}", expected, entry_.scores.size()));
    }
  }

  // null and [] mean the same as no bbox.
  void read_bbox() {
    const size_t start = json_.mark().offset;
    if (json_.peek() == 'n') {
      json_.skip();
      return;
    }
    json_.numbers(entry_.bbox);
    if (entry_.bbox.empty()) return;
    if (entry_.bbox.size() != 4) {
      throw json_.error(start, fmt::format("expected 4 numbers (x, y, width, height), got {}", entry_.bbox.size()));
    }
    seen_ |= kBbox;
  }

  JsonCursor& json_;
  int* joints_;
  PoseEntry& entry_;
  unsigned seen_ = 0;
};

}  // namespace

void read_pose_entry(JsonCursor& json, int* joints, bool require_bbox, PoseEntry& entry) {
  EntryReader(json, joints, entry).read(require_bbox);
}

void expect_pose_list(JsonCursor& json) {
  const JsonCursor::Mark start = json.mark();
  if (json.peek() == '[') return;
  if (json.peek() != '{') throw json.unexpected("a list of poses");
  std::vector<std::string> fields;
  json.object([&](std::string_view key) {
    if (fields.size() < 8) fields.emplace_back(key);
    json.skip();
  });
  json.finish();
  const auto has = [&](const char* name) { return std::find(fields.begin(), fields.end(), name) != fields.end(); };
  const char* hint = "";
  if (has("images") && has("annotations")) {
    hint = "; this looks like an annotation file";
  } else if (has("annotations")) {
    hint = "; the list under 'annotations' has to be the document itself";
  } else if (has("keypoints")) {
    hint = "; a single pose has to stand in a list";
  }
  throw json.error(start.offset,
                   fmt::format("expected a list of poses [{{\"image_id\", \"category_id\", \"keypoints\", "
                               "\"score\"}}, ...], got an object with {}{}",
                               fields.empty() ? "no fields" : fmt::format("{}", fmt::join(fields, ", ")), hint));
}

}  // namespace posefix::dataset

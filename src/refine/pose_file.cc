#include "refine/pose_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "refine/json_cursor.h"

namespace posefix::refine {
namespace {

// Reads one entry; remembers which fields it saw.
class EntryReader {
 public:
  EntryReader(JsonCursor& cursor, size_t index, int joints)
      : cursor_(cursor), name_(fmt::format("entry {}", index)), joints_(static_cast<size_t>(joints)) {}

  PoseEntry read() {
    cursor_.set_place(name_);
    entry_.text.begin = cursor_.offset();
    if (cursor_.peek() != '{') throw cursor_.expected("an object, the pose of one person");
    cursor_.object([&](const std::string& key) { field(key); });
    entry_.text.end = cursor_.offset_after_value();
    check();
    return std::move(entry_);
  }

 private:
  void field(const std::string& key) {
    cursor_.set_place(fmt::format("{}: '{}'", name_, key));
    const size_t begin = cursor_.offset();
    bool known = true;
    if (key == "image_id") {
      entry_.image_id = cursor_.integer();
    } else if (key == "category_id") {
      entry_.category_id = cursor_.integer();
    } else if (key == "file_name") {
      entry_.file_name = cursor_.string();
    } else if (key == "keypoints") {
      keypoints();
      entry_.keypoints_text = {begin, cursor_.offset_after_value()};
    } else if (key == "score") {
      entry_.score = cursor_.number();
      entry_.score_text = {begin, cursor_.offset_after_value()};
    } else if (key == "scores") {
      scores();
    } else if (key == "bbox") {
      box();
    } else {
      cursor_.any();
      known = false;
    }
    if (known && !seen_.insert(key).second) throw cursor_.wrong(begin, "the field occurs twice");
    cursor_.set_place(name_);
  }

  void keypoints() {
    const size_t begin = cursor_.offset();
    entry_.keypoints.assign(joints_, {});
    size_t count = 0;
    cursor_.array([&](size_t i) {
      cursor_.set_element(i);
      const double value = cursor_.number();
      count = i + 1;
      if (i >= 3 * joints_) return;
      pose::Keypoint& joint = entry_.keypoints[i / 3];
      (i % 3 == 0 ? joint.x : i % 3 == 1 ? joint.y : joint.score) = value;
    });
    if (count == 3 * joints_) return;
    cursor_.set_place(name_ + ": 'keypoints'");
    throw cursor_.wrong(begin, fmt::format("{} numbers, expected {} (x, y, score of {} joints, as the model has)",
                                           count, 3 * joints_, joints_));
  }

  void scores() {
    const size_t begin = cursor_.offset();
    double sum = 0;
    size_t count = 0;
    cursor_.array([&](size_t i) {
      cursor_.set_element(i);
      sum += cursor_.number();
      count = i + 1;
    });
    cursor_.set_place(name_ + ": 'scores'");
    if (count != joints_) throw cursor_.wrong(begin, fmt::format("{} numbers, expected {}", count, joints_));
    mean_of_scores_ = sum / static_cast<double>(joints_);
  }

  void box() {
    const size_t begin = cursor_.offset();
    if (cursor_.take('n')) throw cursor_.wrong(begin, "expected [x, y, width, height]; leave the field out instead");
    double values[4] = {};
    size_t count = 0;
    cursor_.array([&](size_t i) {
      cursor_.set_element(i);
      const double value = cursor_.number();
      if (i < 4) values[i] = value;
      count = i + 1;
    });
    cursor_.set_place(name_ + ": 'bbox'");
    if (count == 0) return;  // an empty box is no box, as in COCO's own tools
    if (count != 4) throw cursor_.wrong(begin, fmt::format("{} numbers, expected 4 (x, y, width, height)", count));
    if (values[2] < 0 || values[3] < 0 || values[2] + values[3] <= 0) {
      throw cursor_.wrong(begin, fmt::format("width {} and height {}: expected a box with an extent; leave the field "
                                             "out to have the box made from the joints",
                                             values[2], values[3]));
    }
    entry_.box = pose::Box{values[0], values[1], values[2], values[3]};
  }

  void check() {
    for (const char* required : {"image_id", "category_id", "keypoints"}) {
      if (!seen_.contains(required)) throw cursor_.wrong(entry_.text.begin, missing(required));
    }
    if (seen_.contains("score")) return;
    if (!seen_.contains("scores")) throw cursor_.wrong(entry_.text.begin, missing("score"));
    entry_.score = mean_of_scores_;
  }

  static std::string missing(std::string_view field) { return fmt::format("the field '{}' is missing", field); }

  JsonCursor& cursor_;
  std::string name_;
  size_t joints_;
  PoseEntry entry_;
  double mean_of_scores_ = 0;
  std::set<std::string, std::less<>> seen_;
};

// Shortest text that reads back to the same value, with a point: array libraries would take "12" for an integer.
void append_number(std::string& out, double value) {
  const size_t begin = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_of(".e", begin) == std::string::npos) out += ".0";
}

// Half away from zero: differs from the reference's half to even only where the value lies on the half exactly.
double rounded(double value, double steps) { return std::round(value * steps) / steps; }

}  // namespace

PoseFile PoseFile::read(const std::filesystem::path& path, int joints) {
  std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  JsonCursor cursor(file->text(), path.string());
  if (cursor.peek() != '[') {
    throw cursor.expected("a list of poses, [{\"image_id\": ..., \"keypoints\": [...], ...}, ...]");
  }
  std::vector<PoseEntry> entries;
  cursor.array([&](size_t i) {
    entries.push_back(EntryReader(cursor, i, joints).read());
    cursor.set_place(fmt::format("after entry {}", i));
  });
  cursor.end();
  return {std::move(file), std::move(entries)};
}

std::string PoseFile::place(size_t entry) const { return fmt::format("{}: entry {}", path().string(), entry); }

std::string PoseFile::rewritten(size_t entry, std::span<const double> coords_px, double score) const {
  const PoseEntry& source = entries_.at(entry);
  std::string keypoints = "[";
  for (size_t i = 0; i < coords_px.size(); i += 2) {
    if (i > 0) keypoints += ", ";
    append_number(keypoints, rounded(coords_px[i], 1e3));
    keypoints += ", ";
    append_number(keypoints, rounded(coords_px[i + 1], 1e3));
    keypoints += ", 1.0";
  }
  keypoints += ']';
  std::string score_text;
  append_number(score_text, rounded(score, 1e4));

  std::vector<std::pair<PoseEntry::Span, const std::string*>> edits{{source.keypoints_text, &keypoints}};
  if (source.score_text.end > 0) edits.emplace_back(source.score_text, &score_text);
  std::sort(edits.begin(), edits.end(), [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });

  const std::string_view text = file_->text();
  std::string out;
  size_t at = source.text.begin;
  for (const auto& [span, replacement] : edits) {
    out += text.substr(at, span.begin - at);
    out += *replacement;
    at = span.end;
  }
  out += text.substr(at, source.text.end - at);
  return out;
}

}  // namespace posefix::refine

#include "evaluate/detections.h"

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "dataset/json_cursor.h"
#include "dataset/pose_entry.h"

namespace posefix::evaluate {
namespace {

using dataset::JsonCursor;
using dataset::PoseEntry;

// Detections of one part of the file, with both areas: which one counts depends on the first entry of all.
class Collector {
 public:
  void add(const PoseEntry& entry) {
    double* pose = reserve(entry.keypoints.size() / 3);
    add_pose(pose, entry.keypoints);
    out_.image_id.push_back(entry.image_id);
    out_.category_id.push_back(entry.category_id);
    out_.score.push_back(entry.score);
    bbox_area_.push_back(entry.bbox.empty() ? kNone : entry.bbox[2] * entry.bbox[3]);
  }

  // Appends `other` after this part.
  void append(Collector&& other) {
    const auto move_back = [](auto& to, auto& from) {
      to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    };
    move_back(out_.image_id, other.out_.image_id);
    move_back(out_.category_id, other.out_.category_id);
    move_back(out_.score, other.out_.score);
    move_back(out_.area, other.out_.area);
    move_back(out_.pose, other.out_.pose);
    move_back(out_.blocks, other.out_.blocks);
    move_back(bbox_area_, other.bbox_area_);
  }

  Detections finish(int joints) {
    if (!bbox_area_.empty() && bbox_area_.front() != kNone) {
      for (size_t i = 0; i < bbox_area_.size(); ++i) {
        if (bbox_area_[i] != kNone) out_.area[i] = bbox_area_[i];
      }
    }
    out_.joints = joints;
    return std::move(out_);
  }

 private:
  static constexpr double kNone = std::numeric_limits<double>::max();
  // Address space, of which only what is written is given memory.
  static constexpr size_t kBlock_bytes = size_t{16} << 20;
  static constexpr size_t kHugePage_bytes = size_t{2} << 20;

  double* reserve(size_t joints) {
    const size_t values = joints * 2;
    if (free_values_ < values) {
      free_values_ = std::max(kBlock_bytes / sizeof(double), values);
      out_.blocks.push_back(std::make_unique_for_overwrite<double[]>(free_values_));
      next_ = out_.blocks.back().get();
      advise_huge_pages(reinterpret_cast<uintptr_t>(next_), free_values_ * sizeof(double));
    }
    free_values_ -= values;
    return std::exchange(next_, next_ + values);
  }

  // The kernel hands out a huge page nearly as fast as a small one. A hint: whether it does is its own matter.
  static void advise_huge_pages(uintptr_t begin, size_t size) {
    const uintptr_t first = (begin + kHugePage_bytes - 1) / kHugePage_bytes * kHugePage_bytes;
    const uintptr_t end = (begin + size) / kHugePage_bytes * kHugePage_bytes;
    if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
  }

  void add_pose(double* pose, const std::vector<double>& keypoints) {
    const size_t joints = keypoints.size() / 3;
    double x0 = keypoints[0], x1 = x0, y0 = keypoints[1], y1 = y0;
    for (size_t j = 0; j < joints; ++j) {
      const double x = keypoints[3 * j];
      const double y = keypoints[3 * j + 1];
      pose[j] = x;
      pose[joints + j] = y;
      x0 = std::min(x0, x);
      x1 = std::max(x1, x);
      y0 = std::min(y0, y);
      y1 = std::max(y1, y);
    }
    out_.area.push_back((x1 - x0) * (y1 - y0));
    out_.pose.push_back(pose);
  }

  Detections out_;
  std::vector<double> bbox_area_;
  double* next_ = nullptr;  // in the last of the blocks
  size_t free_values_ = 0;
};

struct Part {
  size_t begin;  // first byte of an entry
  size_t end;    // the comma after the part's last entry, or the size of the text
};

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// A comma between two objects at or after `from`: "}", ",", "{" with white space. npos if there is none.
size_t find_comma(std::string_view text, size_t from) {
  for (size_t brace = text.find('}', from); brace != std::string_view::npos; brace = text.find('}', brace + 1)) {
    size_t comma = brace + 1;
    while (comma < text.size() && is_space(text[comma])) ++comma;
    if (comma >= text.size() || text[comma] != ',') continue;
    size_t next = comma + 1;
    while (next < text.size() && is_space(text[next])) ++next;
    if (next < text.size() && text[next] == '{') return comma;
  }
  return std::string_view::npos;
}

// Cuts the list at commas that look like separators of entries. A comma may in truth lie inside a string or a nested
// list; then a part on either side is not well-formed. If every part is, the whole is the list of all their entries.
std::vector<Part> cut(std::string_view text, size_t first_entry, int parts) {
  std::vector<Part> result{{first_entry, text.size()}};
  for (int i = 1; i < parts; ++i) {
    const size_t from = first_entry + (text.size() - first_entry) * static_cast<size_t>(i) / static_cast<size_t>(parts);
    const size_t comma = from <= result.back().begin ? std::string_view::npos : find_comma(text, from);
    if (comma == std::string_view::npos) break;
    result.back().end = comma;
    result.push_back({text.find('{', comma), text.size()});
  }
  return result;
}

void read_serially(JsonCursor& json, int* joints, Collector& out) {
  PoseEntry entry;
  json.array([&](size_t) {
    read_pose_entry(json, joints, false, entry);
    out.add(entry);
  });
  json.finish();
}

// False if a part could not be read: then the file is bad or was cut in the wrong place.
bool read_in_parts(std::string_view text, const std::string& file, const std::vector<Part>& parts, int* joints,
                   ThreadPool& pool, std::vector<Collector>& out) {
  out.resize(parts.size());
  std::vector<char> good(parts.size(), 0);
  std::vector<int> found(parts.size(), *joints);
  pool.parallel_for(static_cast<int64_t>(parts.size()), 1, [&](int64_t begin, int64_t) {
    const auto i = static_cast<size_t>(begin);
    try {
      JsonCursor json(text, file);
      json.go_to({parts[i].begin, 0});
      PoseEntry entry;
      json.array_part(parts[i].end, [&](size_t) {
        read_pose_entry(json, &found[i], false, entry);
        out[i].add(entry);
      });
      good[i] = 1;
    } catch (const Error&) {
      good[i] = 0;
    }
  });
  *joints = found.front();
  return std::find(good.begin(), good.end(), 0) == good.end() &&
         std::all_of(found.begin(), found.end(), [&](int joint_count) { return joint_count == found.front(); });
}

}  // namespace

Detections read_detections(const std::filesystem::path& path, int joints, ThreadPool& pool) {
  constexpr size_t kSmallestPart_bytes = size_t{1} << 18;
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string_view text = file->text();
  JsonCursor json(text, path.string());
  dataset::expect_pose_list(json);
  const size_t bracket = json.mark().offset;
  const size_t first = text.find('{', bracket);
  // A few parts a thread, so that none waits long for the others.
  const int most = pool.threads() > 1 ? 4 * pool.threads() : 1;
  const int wanted = std::min(most, static_cast<int>(text.size() / kSmallestPart_bytes) + 1);
  Detections detections;
  if (wanted > 1 && first != std::string_view::npos &&
      std::all_of(text.begin() + static_cast<ptrdiff_t>(bracket) + 1, text.begin() + static_cast<ptrdiff_t>(first),
                  is_space)) {
    std::vector<Collector> parts;
    int found = joints;
    if (read_in_parts(text, path.string(), cut(text, first, wanted), &found, pool, parts)) {
      for (size_t i = 1; i < parts.size(); ++i) parts[0].append(std::move(parts[i]));
      detections = parts[0].finish(found);
      detections.path = path.string();
      return detections;
    }
  }
  Collector all;
  read_serially(json, &joints, all);
  detections = all.finish(joints);
  detections.path = path.string();
  return detections;
}

Detections detections_of(const std::vector<dataset::PoseResult>& results, int joints) {
  Collector all;
  PoseEntry entry;
  for (const dataset::PoseResult& result : results) {
    entry.image_id = result.image_id;
    entry.category_id = result.category_id;
    entry.score = result.score;
    entry.keypoints.clear();
    for (const pose::Keypoint& joint : result.keypoints) {
      entry.keypoints.insert(entry.keypoints.end(), {joint.x, joint.y, joint.score});
    }
    PFX_CHECK(joints == 0 || entry.keypoints.size() == 3 * static_cast<size_t>(joints));
    joints = static_cast<int>(entry.keypoints.size() / 3);
    entry.bbox.clear();
    if (result.bbox) entry.bbox = {result.bbox->x, result.bbox->y, result.bbox->w, result.bbox->h};
    all.add(entry);
  }
  return all.finish(joints);
}

}  // namespace posefix::evaluate

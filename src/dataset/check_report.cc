#include "dataset/check_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace posefix::dataset {
namespace {

void append_annotations(std::string& out, const AnnotationSummary& summary) {
  fmt::format_to(std::back_inserter(out),
                 "annotations  {}\n"
                 "  pictures {}, without people {}\n"
                 "  people {}, for training {}, crowds {}, without labelled joint {}\n",
                 summary.path, summary.images, summary.images_without_people, summary.annotations, summary.for_training,
                 summary.crowds, summary.unlabelled);
  if (summary.annotations == 0) return;
  const auto& sizes = summary.box_sizes;
  fmt::format_to(std::back_inserter(out),
                 "  longer side of boxes: <32 px {}, <64 {}, <96 {}, <192 {}, <384 {}, larger {}\n"
                 "  joint                 visible  occluded   absent\n",
                 sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]);
  for (size_t j = 0; j < summary.joints.size(); ++j) {
    fmt::format_to(std::back_inserter(out), "    {:<18} {:>8} {:>9} {:>8}\n", summary.joints[j], summary.visible[j][2],
                   summary.visible[j][1], summary.visible[j][0]);
  }
}

void append_pictures(std::string& out, const PictureSummary& summary) {
  fmt::format_to(std::back_inserter(out), "pictures     {}\n  opened {}, unreadable {}\n", summary.folder,
                 summary.pictures, summary.unreadable);
  if (summary.exif_rotated_count == 0) return;
  fmt::format_to(std::back_inserter(out),
                 "  with an EXIF orientation (ignored as COCO does; poses made on the upright picture need --exif "
                 "apply): {}: {}{}\n",
                 summary.exif_rotated_count, fmt::join(summary.exif_rotated, ", "),
                 summary.exif_rotated_count > summary.exif_rotated.size() ? ", ..." : "");
}

}  // namespace

void CheckReport::add(Finding finding) {
  const std::scoped_lock lock(mutex_);
  (finding.severity == Severity::kError ? errors_ : warnings_) += 1;
  auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& candidate) {
    return candidate.severity == finding.severity && candidate.kind == finding.kind;
  });
  if (group == groups_.end()) {
    groups_.push_back({finding.severity, finding.kind, 0, {}});
    group = groups_.end() - 1;
  }
  ++group->count;
  if (group->messages.size() < kShown) group->messages.push_back(std::move(finding.message));
}

FindingSink CheckReport::sink() {
  return [this](Finding finding) { add(std::move(finding)); };
}

std::vector<CheckReport::Group> CheckReport::groups() const {
  const std::scoped_lock lock(mutex_);
  std::vector<Group> sorted = groups_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Group& a, const Group& b) {
    return a.severity == Severity::kError && b.severity == Severity::kWarning;
  });
  return sorted;
}

std::string CheckReport::text() const {
  std::string out;
  for (const AnnotationSummary& summary : annotations) append_annotations(out, summary);
  for (const PoseSummary& summary : poses) {
    fmt::format_to(std::back_inserter(out),
                   "poses        {}\n  for {}\n  poses {} on {} pictures; pictures with people but without poses {}\n",
                   summary.path, summary.set, summary.poses, summary.images, summary.images_without_poses);
  }
  for (const PictureSummary& summary : pictures) append_pictures(out, summary);
  for (const Group& group : groups()) {
    const bool is_error = group.severity == Severity::kError;
    fmt::format_to(std::back_inserter(out), "{}: {}: {}\n", is_error ? "error" : "warning", group.kind, group.count);
    for (const std::string& message : group.messages) out += "  " + message + "\n";
    if (group.count > group.messages.size()) {
      fmt::format_to(std::back_inserter(out), "  and {} more\n", group.count - group.messages.size());
    }
  }
  fmt::format_to(std::back_inserter(out), "{} errors, {} warnings\n", errors_, warnings_);
  return out;
}

std::string CheckReport::first_errors() const {
  std::string out;
  for (const Group& group : groups()) {
    if (group.severity != Severity::kError) continue;
    for (const std::string& message : group.messages) out += "\n  " + message;
    if (group.count > group.messages.size()) out += fmt::format("\n  and {} more", group.count - group.messages.size());
  }
  return out;
}

}  // namespace posefix::dataset

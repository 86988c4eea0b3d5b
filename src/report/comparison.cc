#include "report/comparison.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "evaluate/coco_keypoints.h"

namespace posefix::report {
namespace {

constexpr double kScoreRounding = 5.1e-5;

bool fits(const dataset::PoseResult& entry, const dataset::PoseResult& result) {
  return entry.category_id == result.category_id && std::abs(entry.score - result.score) <= kScoreRounding;
}

}  // namespace

std::vector<std::optional<size_t>> pair_results(const dataset::PoseResults& before, const dataset::PoseResults& after) {
  std::map<int64_t, std::vector<size_t>> entries;  // of each picture, in order
  for (size_t i = 0; i < before.entries.size(); ++i) entries[before.entries[i].image_id].push_back(i);
  std::map<int64_t, size_t> next;
  std::vector<std::optional<size_t>> pairs(before.entries.size());
  for (size_t r = 0; r < after.entries.size(); ++r) {
    const dataset::PoseResult& result = after.entries[r];
    const std::vector<size_t>& candidates = entries[result.image_id];
    size_t& at = next[result.image_id];
    while (at < candidates.size() && !fits(before.entries[candidates[at]], result)) ++at;
    if (at == candidates.size()) {
      throw bad_input("{}: entry {}: no entry of {} with image_id {} and score {:.4f} is left that it could come from",
                      after.path, result.index, before.path, result.image_id, result.score);
    }
    pairs[candidates[at++]] = r;
  }
  return pairs;
}

std::map<int64_t, PeopleFound> people_found(const dataset::CocoAnnotations& annotations,
                                            const evaluate::Detections& detections, std::span<const double> sigmas,
                                            ThreadPool& pool) {
  struct Target {
    int64_t category_id;
    bool counts;
  };
  std::map<int64_t, std::vector<Target>> targets;  // in file order, as the columns of GroupMatches::oks
  std::map<int64_t, PeopleFound> found;
  for (const dataset::Annotation& annotation : annotations.annotations) {
    const bool counts = !annotation.iscrowd && annotation.num_keypoints > 0;
    targets[annotation.image_id].push_back({annotation.category_id, counts});
    if (counts) ++found[annotation.image_id].people;
  }
  const evaluate::Matches matches = evaluate::match(annotations, detections, sigmas, pool, true);
  for (const evaluate::GroupMatches& group : matches.groups) {
    const auto picture = found.find(group.image_id);
    if (picture == found.end()) continue;
    std::vector<bool> counts;
    for (const Target& target : targets[group.image_id]) {
      if (target.category_id == group.category_id) counts.push_back(target.counts);
    }
    const size_t columns = counts.size();
    PFX_CHECK(group.oks.size() == group.detections.size() * columns);
    for (size_t column = 0; column < columns; ++column) {
      double best = 0;
      for (size_t row = 0; row < group.detections.size(); ++row) {
        best = std::max(best, group.oks[row * columns + column]);
      }
      if (counts[column]) picture->second.mean_oks += best / static_cast<double>(picture->second.people);
    }
  }
  return found;
}

}  // namespace posefix::report

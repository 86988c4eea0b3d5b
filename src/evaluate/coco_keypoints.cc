#include "evaluate/coco_keypoints.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "base/cpu_clones.h"
#include "base/error.h"

namespace posefix::evaluate {
namespace {

using dataset::Annotation;
using dataset::CocoAnnotations;

std::vector<int64_t> sorted_unique(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// Position of a value in a sorted list, npos if absent. Neighbouring look-ups are often for the same value.
class SortedIndex {
 public:
  static constexpr size_t kAbsent = std::numeric_limits<size_t>::max();
  explicit SortedIndex(std::span<const int64_t> values) : values_(values) {}
  size_t find(int64_t value) {
    if (last_ < values_.size() && values_[last_] == value) return last_;
    const auto found = std::lower_bound(values_.begin(), values_.end(), value);
    if (found == values_.end() || *found != value) return kAbsent;
    return last_ = static_cast<size_t>(found - values_.begin());
  }

 private:
  std::span<const int64_t> values_;
  size_t last_ = kAbsent;
};

// Items by group (category * images + image), file order inside: item[begin[k]] .. item[begin[k + 1] - 1].
struct Grouping {
  std::vector<uint32_t> begin;
  std::vector<uint32_t> item;
};

constexpr uint32_t kNoGroup = std::numeric_limits<uint32_t>::max();

Grouping group(std::span<const uint32_t> keys, size_t groups) {
  Grouping result;
  result.begin.assign(groups + 1, 0);
  for (const uint32_t key : keys) {
    if (key != kNoGroup) ++result.begin[key + 1];
  }
  std::partial_sum(result.begin.begin(), result.begin.end(), result.begin.begin());
  result.item.resize(result.begin.back());
  std::vector<uint32_t> next(result.begin.begin(), result.begin.end() - 1);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] != kNoGroup) result.item[next[keys[i]]++] = static_cast<uint32_t>(i);
  }
  return result;
}

void check_counts(const CocoAnnotations& annotations, const Detections& detections, std::span<const double> sigmas) {
  const auto joints = static_cast<int>(sigmas.size());
  if (annotations.joints != 0 && annotations.joints != joints) {
    throw bad_input("{}: annotations of {} joints, but the skeleton has {}; name the right one with --skeleton",
                    annotations.path, annotations.joints, joints);
  }
  if (detections.joints != 0 && detections.joints != joints) {
    throw bad_input("{}: results of {} joints, but the skeleton has {}", detections.path, detections.joints, joints);
  }
  std::unordered_set<int64_t> ids;
  ids.reserve(annotations.annotations.size());
  for (const Annotation& annotation : annotations.annotations) {
    if (!ids.insert(annotation.id).second) {
      throw bad_input("{}: /annotations/{}/id: annotation id {} occurs twice; pose and person would be confused",
                      annotations.path, annotation.index, annotation.id);
    }
  }
}

// Categories that the file lists; those of its annotations if it lists none.
std::vector<int64_t> category_ids(const CocoAnnotations& annotations) {
  std::vector<int64_t> ids;
  for (const dataset::Category& category : annotations.categories) ids.push_back(category.id);
  if (!annotations.has_categories) {
    for (const Annotation& annotation : annotations.annotations) ids.push_back(annotation.category_id);
  }
  return sorted_unique(std::move(ids));
}

// One call of match(): what all groups share, then a group at a time.
class Matching {
 public:
  Matching(const CocoAnnotations& annotations, const Detections& detections, std::span<const double> sigmas,
           ThreadPool& pool)
      : annotations_(annotations), detections_(detections), sigmas_(sigmas), pool_(pool) {
    std::vector<int64_t> ids;
    for (const dataset::AnnotatedImage& image : annotations.images) ids.push_back(image.id);
    result_.image_ids = sorted_unique(std::move(ids));
    categories_ = category_ids(annotations);
    images_ = result_.image_ids.size();
    if (categories_.size() * images_ >= kNoGroup) throw bad_input("{}: too many categories", annotations.path);
    group_all();
  }

  Matches run(bool keep_groups) {
    // Where each group's detections go: groups in order, at most kMostDetections of each.
    const size_t groups = categories_.size() * images_;
    first_.assign(groups + 1, 0);
    for (size_t k = 0; k < groups; ++k) {
      first_[k + 1] = first_[k] + std::min<size_t>(kMostDetections, by_group_.begin[k + 1] - by_group_.begin[k]);
    }
    kept_.resize(first_.back());
    outcomes_.assign(first_.back(), {});
    if (keep_groups) details_.resize(groups);
    pool_.parallel_for(static_cast<int64_t>(groups), kGrain, [&](int64_t begin, int64_t end) {
      OksMatcher matcher(sigmas_);
      std::vector<OksMatcher::Candidate> candidates;
      std::vector<MatchTarget> targets;
      for (auto k = static_cast<size_t>(begin); k < static_cast<size_t>(end); ++k) {
        match_group(k, matcher, candidates, targets);
      }
    });
    for (size_t c = 0; c < categories_.size(); ++c) result_.categories.push_back(category(c));
    for (GroupMatches& details : details_) {
      if (!details.detections.empty() || !details.targets.empty()) result_.groups.push_back(std::move(details));
    }
    return std::move(result_);
  }

 private:
  static constexpr int64_t kGrain = 64;

  void group_all() {
    SortedIndex image(result_.image_ids);
    SortedIndex category(categories_);
    std::vector<uint32_t> keys(detections_.size(), kNoGroup);
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t image_at = image.find(detections_.image_id[i]);
      if (image_at == SortedIndex::kAbsent) {
        throw bad_input("{}: /{}/image_id: {} lists no image {}; are these results of another set?", detections_.path,
                        i, annotations_.path, detections_.image_id[i]);
      }
      const size_t category_at = category.find(detections_.category_id[i]);
      if (category_at != SortedIndex::kAbsent) keys[i] = static_cast<uint32_t>(category_at * images_ + image_at);
    }
    const size_t groups = categories_.size() * images_;
    by_group_ = group(keys, groups);
    keys.assign(annotations_.annotations.size(), kNoGroup);
    for (size_t i = 0; i < keys.size(); ++i) {
      const size_t image_at = image.find(annotations_.annotations[i].image_id);
      const size_t category_at = category.find(annotations_.annotations[i].category_id);
      if (image_at == SortedIndex::kAbsent || category_at == SortedIndex::kAbsent) continue;
      keys[i] = static_cast<uint32_t>(category_at * images_ + image_at);
    }
    targets_ = group(keys, groups);
  }

  void match_group(size_t k, OksMatcher& matcher, std::vector<OksMatcher::Candidate>& candidates,
                   std::vector<MatchTarget>& targets) {
    const std::span<uint32_t> members(by_group_.item.data() + by_group_.begin[k],
                                      by_group_.begin[k + 1] - by_group_.begin[k]);
    const size_t count = first_[k + 1] - first_[k];
    // File order breaks ties, so this equals a stable sort.
    const auto better = [&](uint32_t a, uint32_t b) {
      const double score_a = detections_.score[a], score_b = detections_.score[b];
      return score_a != score_b ? score_a > score_b : a < b;
    };
    const auto last = members.begin() + static_cast<ptrdiff_t>(count);
    if (last != members.end()) std::nth_element(members.begin(), last, members.end(), better);
    std::sort(members.begin(), last, better);
    candidates.clear();
    for (size_t d = 0; d < count; ++d) {
      kept_[first_[k] + d] = members[d];
      candidates.push_back({detections_.pose[members[d]], detections_.area[members[d]]});
    }
    targets.clear();
    for (uint32_t i = targets_.begin[k]; i < targets_.begin[k + 1]; ++i) {
      targets.push_back(matcher.target_of(annotations_.annotations[targets_.item[i]]));
    }
    GroupMatches* details = details_.empty() ? nullptr : &details_[k];
    if (details != nullptr) {
      details->category_id = categories_[k / images_];
      details->image_id = result_.image_ids[k % images_];
      details->detections.assign(members.begin(), members.begin() + static_cast<ptrdiff_t>(count));
    }
    matcher.match(candidates, targets, std::span(outcomes_).subspan(first_[k], count), details);
  }

  CategoryMatches category(size_t c) const {
    CategoryMatches matches;
    matches.category_id = categories_[c];
    const size_t begin = first_[c * images_];
    const size_t end = first_[(c + 1) * images_];
    std::vector<uint32_t> image(end - begin);
    for (size_t i = 0; i < images_; ++i) {
      std::fill(image.begin() + static_cast<ptrdiff_t>(first_[c * images_ + i] - begin),
                image.begin() + static_cast<ptrdiff_t>(first_[c * images_ + i + 1] - begin), static_cast<uint32_t>(i));
    }
    struct Entry {
      double score;
      uint32_t position;
    };
    std::vector<Entry> order(end - begin);
    for (size_t i = 0; i < order.size(); ++i) {
      order[i] = {detections_.score[kept_[begin + i]], static_cast<uint32_t>(i)};
    }
    std::sort(order.begin(), order.end(), [](const Entry& a, const Entry& b) {
      return a.score != b.score ? a.score > b.score : a.position < b.position;
    });
    matches.detection.reserve(order.size());
    matches.image.reserve(order.size());
    matches.score.reserve(order.size());
    matches.outcome.reserve(order.size());
    for (const Entry& entry : order) {
      matches.detection.push_back(kept_[begin + entry.position]);
      matches.image.push_back(image[entry.position]);
      matches.score.push_back(entry.score);
      matches.outcome.push_back(outcomes_[begin + entry.position]);
    }
    count_annotated(c, matches);
    return matches;
  }

  void count_annotated(size_t c, CategoryMatches& matches) const {
    for (size_t area = 0; area < kAreas; ++area) {
      matches.annotated[area].assign(images_, 0);
      for (size_t i = 0; i < images_; ++i) {
        const size_t k = c * images_ + i;
        for (uint32_t m = targets_.begin[k]; m < targets_.begin[k + 1]; ++m) {
          const Annotation& annotation = annotations_.annotations[targets_.item[m]];
          const bool counts = !annotation.iscrowd && annotation.num_keypoints != 0 &&
                              annotation.area >= kAreaRanges[area].low && annotation.area <= kAreaRanges[area].high;
          matches.annotated[area][i] += counts;
        }
      }
    }
  }

  const CocoAnnotations& annotations_;
  const Detections& detections_;
  std::span<const double> sigmas_;
  ThreadPool& pool_;
  Matches result_;
  std::vector<int64_t> categories_;
  size_t images_ = 0;
  Grouping by_group_;
  Grouping targets_;
  std::vector<size_t> first_;   // [groups + 1] into kept_ and outcomes_
  std::vector<uint32_t> kept_;  // positions in detections_
  std::vector<MatchOutcome> outcomes_;
  std::vector<GroupMatches> details_;
};

// Precision at the recall points and the recall reached, of one category, area range and threshold.
struct Curve {
  std::array<double, kRecallPoints> precision{};
  double recall = 0;
};

// A matched detection: annotations found up to here and precision here.
struct Hit {
  double found;
  double precision;
};

// numpy.linspace(0, 1, 101).
double recall_point(size_t r) { return static_cast<double>(r) * 0.01; }

// By threshold, in order of falling score.
using Hits = std::array<std::vector<Hit>, kThresholds>;

// All thresholds in one pass: their counters lie side by side, a lane each.
POSEFIX_CPU_CLONES("avx512f", "avx2")
void collect_hits(const CategoryMatches& matches, size_t area, std::span<const uint32_t> weights, Hits& hits) {
  constexpr size_t kLanes = 16;
  std::array<uint32_t, kLanes> found{};
  std::array<uint32_t, kLanes> wrong{};
  for (size_t i = 0; i < matches.outcome.size(); ++i) {
    const uint32_t weight = weights.empty() ? 1 : weights[matches.image[i]];
    if (weight == 0) continue;
    const uint32_t ignored = matches.outcome[i].ignored[area];
    const uint32_t hit = matches.outcome[i].matched[area] & ~ignored;
    const uint32_t miss = ~(matches.outcome[i].matched[area] | ignored);
    for (uint32_t t = 0; t < kLanes; ++t) wrong[t] += (miss >> t & 1U) * weight;
    if (hit == 0) continue;
    for (uint32_t t = 0; t < kLanes; ++t) found[t] += (hit >> t & 1U) * weight;
    for (uint32_t bits = hit; bits != 0; bits &= bits - 1) {
      const auto t = static_cast<size_t>(std::countr_zero(bits));
      const double right = found[t];
      hits[t].push_back({right, right / (wrong[t] + right + std::numeric_limits<double>::epsilon())});
    }
  }
}

Curve curve_of(std::vector<Hit>& hits, double annotated) {
  // Precision never rises with recall: each point takes the best of those to its right.
  for (size_t i = hits.size(); i-- > 1;) hits[i - 1].precision = std::max(hits[i - 1].precision, hits[i].precision);
  Curve curve;
  curve.recall = hits.empty() ? 0 : hits.back().found / annotated;
  size_t hit = 0;
  for (size_t r = 0; r < kRecallPoints; ++r) {
    while (hit < hits.size() && hits[hit].found / annotated < recall_point(r)) ++hit;
    if (hit == hits.size()) break;
    curve.precision[r] = hits[hit].precision;
  }
  return curve;
}

struct Mean {
  double sum = 0;
  int count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double value() const { return count == 0 ? -1 : sum / count; }
};

double annotated_in(const CategoryMatches& matches, size_t area, std::span<const uint32_t> weights) {
  double annotated = 0;
  for (size_t i = 0; i < matches.annotated[area].size(); ++i) {
    annotated += matches.annotated[area][i] * (weights.empty() ? 1.0 : weights[i]);
  }
  return annotated;
}

}  // namespace

Matches match(const CocoAnnotations& annotations, const Detections& detections, std::span<const double> sigmas,
              ThreadPool& pool, bool keep_groups) {
  check_counts(annotations, detections, sigmas);
  return Matching(annotations, detections, sigmas, pool).run(keep_groups);
}

CocoCurves figures(const Matches& matches, std::span<const uint32_t> weights) {
  CocoCurves curves;
  Hits hits;
  std::array<Mean, kAreas> precision;
  std::array<Mean, kAreas> recall;
  std::array<Mean, kThresholds> ap;
  std::array<Mean, kThresholds> reached;
  std::array<std::array<Mean, kRecallPoints>, kThresholds> at_recall;
  for (const CategoryMatches& category : matches.categories) {
    for (size_t area = 0; area < kAreas; ++area) {
      const double annotated = annotated_in(category, area, weights);
      if (annotated == 0) continue;
      for (std::vector<Hit>& list : hits) list.clear();
      collect_hits(category, area, weights, hits);
      for (size_t t = 0; t < kThresholds; ++t) {
        const Curve curve = curve_of(hits[t], annotated);
        recall[area].add(curve.recall);
        for (const double value : curve.precision) precision[area].add(value);
        if (area != 0) continue;
        reached[t].add(curve.recall);
        for (size_t r = 0; r < kRecallPoints; ++r) {
          ap[t].add(curve.precision[r]);
          at_recall[t][r].add(curve.precision[r]);
        }
      }
    }
  }
  for (size_t t = 0; t < kThresholds; ++t) {
    curves.ap_per_threshold[t] = ap[t].value();
    curves.recall_per_threshold[t] = reached[t].value();
    for (size_t r = 0; r < kRecallPoints; ++r) curves.precision[t][r] = at_recall[t][r].value();
  }
  CocoFigures& figures = curves.figures;
  figures.ap = precision[0].value();
  figures.ap50 = curves.ap_per_threshold[0];
  figures.ap75 = curves.ap_per_threshold[5];
  figures.ap_medium = precision[1].value();
  figures.ap_large = precision[2].value();
  figures.ar = recall[0].value();
  figures.ar50 = curves.recall_per_threshold[0];
  figures.ar75 = curves.recall_per_threshold[5];
  figures.ar_medium = recall[1].value();
  figures.ar_large = recall[2].value();
  return curves;
}

}  // namespace posefix::evaluate

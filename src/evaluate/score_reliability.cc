#include "evaluate/score_reliability.h"

#include <algorithm>
#include <vector>

namespace posefix::evaluate {

std::array<ReliabilityBin, 10> score_reliability(const Matches& matches) {
  struct Scored {
    double score;
    bool matched;
  };
  std::vector<Scored> scored;
  for (const CategoryMatches& category : matches.categories) {
    for (size_t i = 0; i < category.score.size(); ++i) {
      const MatchOutcome& outcome = category.outcome[i];
      if ((outcome.ignored[0] & 1U) == 0) scored.push_back({category.score[i], (outcome.matched[0] & 1U) != 0});
    }
  }
  std::stable_sort(scored.begin(), scored.end(), [](const Scored& a, const Scored& b) { return a.score < b.score; });
  std::array<ReliabilityBin, 10> bins;
  for (size_t b = 0; b < bins.size(); ++b) {
    const size_t begin = scored.size() * b / bins.size();
    const size_t end = scored.size() * (b + 1) / bins.size();
    if (begin == end) continue;
    ReliabilityBin& bin = bins[b];
    bin.detections = end - begin;
    bin.lowest_score = scored[begin].score;
    for (size_t i = begin; i < end; ++i) {
      bin.mean_score += scored[i].score / static_cast<double>(bin.detections);
      bin.share_matched += static_cast<double>(scored[i].matched) / static_cast<double>(bin.detections);
    }
  }
  return bins;
}

}  // namespace posefix::evaluate

#include "sample/sample_order.h"

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace posefix::sample {
namespace {

constexpr uint32_t kOrderStream = 2;

void shuffle(std::span<uint32_t> values, Rng& rng) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[rng.below(static_cast<uint32_t>(i))]);
}

}  // namespace

SampleOrder::SampleOrder(std::span<const dataset::Person> people, uint64_t seed, int64_t block_pictures)
    : seed_(seed), block_pictures_(block_pictures) {
  picture_of_.reserve(people.size());
  for (const dataset::Person& person : people) picture_of_.push_back(static_cast<uint32_t>(person.image));
}

std::shared_ptr<const std::vector<uint32_t>> SampleOrder::epoch(uint32_t epoch) {
  const std::scoped_lock lock(mutex_);
  for (const Kept& kept : kept_) {
    if (kept.epoch == epoch) return kept.order;
  }
  if (kept_.size() == 2) kept_.erase(kept_.begin());
  kept_.push_back({epoch, std::make_shared<const std::vector<uint32_t>>(shuffled(epoch))});
  return kept_.back().order;
}

std::vector<uint32_t> SampleOrder::shuffled(uint32_t epoch) const {
  Rng rng(seed_, epoch, 0, kOrderStream);
  std::vector<uint32_t> people(picture_of_.size());
  std::iota(people.begin(), people.end(), 0U);
  if (block_pictures_ <= 0) {
    shuffle(people, rng);
    return people;
  }
  // People by picture, then pictures in random order.
  std::stable_sort(people.begin(), people.end(),
                   [&](uint32_t a, uint32_t b) { return picture_of_[a] < picture_of_[b]; });
  std::vector<uint32_t> firsts;  // of each picture's people in `people`
  for (uint32_t i = 0; i < people.size(); ++i) {
    if (i == 0 || picture_of_[people[i]] != picture_of_[people[i - 1]]) firsts.push_back(i);
  }
  shuffle(firsts, rng);
  std::vector<uint32_t> order;
  order.reserve(people.size());
  size_t block_begin = 0;
  for (size_t picture = 0; picture < firsts.size(); ++picture) {
    const uint32_t first = firsts[picture];
    for (size_t i = first; i < people.size() && picture_of_[people[i]] == picture_of_[people[first]]; ++i) {
      order.push_back(people[i]);
    }
    const bool block_ends = (picture + 1) % static_cast<size_t>(block_pictures_) == 0 || picture + 1 == firsts.size();
    if (!block_ends) continue;
    shuffle(std::span(order).subspan(block_begin), rng);
    block_begin = order.size();
  }
  return order;
}

}  // namespace posefix::sample

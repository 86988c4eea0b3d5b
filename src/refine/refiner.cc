#include "refine/refiner.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <exception>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "refine/merge.h"

namespace posefix::refine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}
double seconds_since(Clock::time_point begin) { return seconds_between(begin, Clock::now()); }

// People grouped by picture, pictures by first appearance. order[i] is the index of the i-th one in `people`.
std::vector<size_t> by_picture(std::span<const Person> people) {
  size_t pictures = 0;
  for (const Person& person : people) pictures = std::max(pictures, person.picture + 1);
  std::vector<size_t> first(pictures, people.size());
  for (size_t i = people.size(); i-- > 0;) first[people[i].picture] = i;
  std::vector<size_t> order(people.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return first[people[a].picture] < first[people[b].picture]; });
  return order;
}

// Batches that the session works on. Whatever ends the loop, none is left behind: the session reads their rows.
class InFlight {
 public:
  explicit InFlight(runtime::Session& session) : session_(session) {}
  ~InFlight() {
    try {
      while (!counts_.empty()) wait();
    } catch (const std::exception&) {
      counts_.clear();  // an error drops all of them; the one that ended the loop is on its way already
    }
  }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;

  int64_t size() const { return static_cast<int64_t>(counts_.size()); }
  void submit(const runtime::CropBatch& batch, const runtime::RefinedBatch& answer) {
    guarded([&] { session_.submit(batch, answer); });
    counts_.push_back(batch.size);
  }
  // Rows of the oldest batch, which is done.
  int64_t wait() {
    guarded([&] { session_.wait(); });
    const int64_t count = counts_.front();
    counts_.pop_front();
    return count;
  }

 private:
  template <typename Call>
  void guarded(Call&& call) {
    try {
      call();
    } catch (...) {
      counts_.clear();
      throw;
    }
  }

  runtime::Session& session_;
  std::deque<int64_t> counts_;
};

// rows [N*rows_per_person, K*2] in working order -> one array per pass in the caller's order.
void scatter(std::span<const float> from, std::span<const size_t> order, size_t pass, size_t passes, size_t width,
             std::vector<float>& to) {
  to.resize(order.size() * width);
  for (size_t i = 0; i < order.size(); ++i) {
    std::copy_n(from.begin() + static_cast<ptrdiff_t>((i * passes + pass) * width), width,
                to.begin() + static_cast<ptrdiff_t>(order[i] * width));
  }
}

}  // namespace

std::span<const double> Refined::coords(size_t person) const {
  const size_t width = 2 * static_cast<size_t>(joints);
  return std::span(coords_image_px).subspan(person * width, width);
}

std::span<const double> Refined::uncertainty(size_t person) const {
  const size_t width = static_cast<size_t>(joints);
  return std::span(uncertainty_image_px).subspan(person * width, width);
}

Refiner::Refiner(runtime::Session& session, pose::Skeleton skeleton, const RefineOptions& options)
    : session_(session), skeleton_(std::move(skeleton)), options_(options) {
  if (session.info().joints != skeleton_.size()) {
    throw bad_input("the model has {} joints, the skeleton {} has {}", session.info().joints, skeleton_.name,
                    skeleton_.size());
  }
  if (wants_spread() && !session.info().has_spread) {
    throw bad_input("the model does not give the spread of its heat maps, which a calibration needs");
  }
  PFX_CHECK(!options.trust || options.trust->joints() == static_cast<size_t>(skeleton_.size()));
}

void Refiner::run_batches(CropFeed& feed, std::span<float> rows, std::span<float> spreads, RefineTimes& times,
                          const OnProgress& on_progress) {
  const size_t width = 2 * static_cast<size_t>(session_.info().joints);
  const int64_t passes = options_.flip ? 2 : 1;
  InFlight in_flight(session_);
  int64_t asked = 0;  // rows given to the session
  int64_t done = 0;
  while (done < feed.rows()) {
    throw_if_interrupted();
    if (asked < feed.rows() && in_flight.size() < session_.max_in_flight()) {
      const int64_t count = std::min(session_.max_batch(), feed.rows() - asked);
      const Clock::time_point begin = Clock::now();
      const runtime::CropBatch batch = feed.next(count);
      const Clock::time_point submitted = Clock::now();
      const double waited = seconds_between(begin, submitted);
      times.waiting += waited;
      if (in_flight.size() == 0) times.starved += waited;
      const auto part = [&](std::span<float> all, size_t row) {
        return all.subspan(static_cast<size_t>(asked) * row, static_cast<size_t>(count) * row);
      };
      in_flight.submit(batch, {part(rows, width), wants_spread() ? part(spreads, width / 2) : std::span<float>()});
      times.inference += seconds_since(submitted);
      ++times.batches;
      asked += count;
      continue;
    }
    const Clock::time_point begin = Clock::now();
    done += in_flight.wait();
    times.inference += seconds_since(begin);
    feed.release();
    if (on_progress) on_progress(done / passes);
  }
}

Refined Refiner::run(const PictureSource& pictures, std::span<const Person> people, const OnProgress& on_progress) {
  const Clock::time_point begin = Clock::now();
  const runtime::ModelInfo& info = session_.info();
  const image::CropSize size{static_cast<int>(info.height), static_cast<int>(info.width)};
  const size_t joints = static_cast<size_t>(info.joints);
  const size_t width = 2 * joints;
  for (const Person& person : people) PFX_CHECK(person.keypoints != nullptr && person.keypoints->size() == joints);

  const std::vector<size_t> order = by_picture(people);
  std::vector<Person> working(people.size());
  for (size_t i = 0; i < order.size(); ++i) working[i] = people[order[i]];
  std::vector<pose::Box> boxes(people.size());
  std::vector<float> inputs(people.size() * width);
  const size_t passes = options_.flip ? 2 : 1;
  std::vector<float> rows(people.size() * passes * width);
  std::vector<float> spreads(wants_spread() ? rows.size() / 2 : 0);

  Refined refined;
  refined.joints = info.joints;
  {
    const FeedOptions feed_options{size, session_.max_batch(), session_.max_in_flight(), options_.flip,
                                   options_.decode_threads};
    CropFeed feed(feed_options, skeleton_, pictures, working, boxes, inputs);
    run_batches(feed, rows, spreads, refined.times, on_progress);
    feed.stop();
    refined.times.decode = feed.times().decode_s;
    refined.times.crop = feed.times().crop_s;
  }

  const Clock::time_point merge_begin = Clock::now();
  refined.crop_boxes.resize(people.size());
  for (size_t i = 0; i < order.size(); ++i) refined.crop_boxes[order[i]] = boxes[i];
  scatter(inputs, order, 0, 1, width, refined.input_crop_px);
  scatter(rows, order, 0, passes, width, refined.first_crop_px);
  if (options_.flip) scatter(rows, order, 1, passes, width, refined.mirrored_crop_px);
  merge_passes(refined, skeleton_, size);
  if (wants_spread()) {
    std::vector<float> mirrored;
    scatter(spreads, order, 0, passes, joints, refined.spread_crop_px);
    if (options_.flip) scatter(spreads, order, 1, passes, joints, mirrored);
    merge_spreads(refined, mirrored, skeleton_);
  }
  if (options_.trust) apply_trust(refined, people, *options_.trust, size);
  suppress(refined, people, skeleton_, options_.nms_threshold);
  refined.times.merge = seconds_since(merge_begin);
  refined.times.total = seconds_since(begin);
  return refined;
}

}  // namespace posefix::refine

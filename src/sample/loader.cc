#include "sample/loader.h"

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"
#include "dataset/picture_locator.h"

namespace posefix::sample {
namespace {

constexpr uint32_t kAugmentationStream = 0;
constexpr uint32_t kErrorStream = 1;
constexpr uint32_t kEstimateStream = 2;
constexpr uint32_t kAppearanceStream = 3;
constexpr uint32_t kPartStream = 4;

SampleSource checked(SampleSource source, const pose::Skeleton& skeleton, const LoaderConfig& config) {
  if (source.people.empty()) {
    throw bad_input("there is no person to train on: no annotation has a labelled joint, an area and a box");
  }
  PFX_CHECK(config.batch_size > 0 && config.prefetch > 0 && config.world > 0);
  PFX_CHECK(config.rank >= 0 && config.rank < config.world);
  PFX_CHECK(config.parts > 0 && config.batch_size % config.parts == 0);
  for (const dataset::Person& person : source.people) {
    PFX_CHECK(person.image < source.pictures.size());
    const size_t joints = person.gt.size();
    if (joints != skeleton.joints.size() || (person.estimated && person.estimated->size() != joints)) {
      throw bad_input("{}: a person has {} joints and an estimate of {}, the skeleton {} has {}; choose its skeleton",
                      source.pictures[person.image].string(), joints, person.estimated ? person.estimated->size() : 0,
                      skeleton.name, skeleton.joints.size());
    }
  }
  return source;
}

}  // namespace

SampleSource locate_samples(const dataset::CocoAnnotations& annotations, std::vector<dataset::Person> people,
                            const std::filesystem::path& images) {
  SampleSource source;
  source.pictures.resize(annotations.images.size());
  const dataset::PictureLocator locator(images, &annotations);
  for (const dataset::Person& person : people) {
    std::filesystem::path& picture = source.pictures[person.image];
    if (picture.empty()) picture = locator.find(annotations.images[person.image].id);
  }
  source.people = std::move(people);
  return source;
}

void append(SampleSource& source, SampleSource other) {
  const size_t people = source.people.size();
  const size_t pictures = source.pictures.size();
  for (dataset::Person& person : other.people) {
    person.image += pictures;
    for (size_t& near : person.near) near += people;
    source.people.push_back(std::move(person));
  }
  std::move(other.pictures.begin(), other.pictures.end(), std::back_inserter(source.pictures));
}

Loader::Loader(SampleSource source, const pose::Skeleton& skeleton, const synthesis::ErrorModel& errors,
               const LoaderConfig& config)
    : source_(checked(std::move(source), skeleton, config)),
      skeleton_(skeleton),
      errors_(errors),
      config_(config),
      order_(source_.people, config.seed, config.block_pictures),
      cache_(source_.pictures, config.cache_bytes, config.orientation),
      slots_(static_cast<size_t>(config.prefetch)),
      reported_(source_.pictures.size(), false) {
  const SampleMaker probe(skeleton_, errors_, config_.crop);  // throws here rather than in a thread
}

Loader::~Loader() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  room_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Loader::start(int64_t step) {
  PFX_CHECK(!started_ && step >= 0);
  started_ = true;
  next_step_ = claim_step_ = step;
  for (size_t i = 0; i < slots_.size(); ++i) {
    reset(slot_of(step + static_cast<int64_t>(i)), step + static_cast<int64_t>(i));
  }
  began_ = std::chrono::steady_clock::now();
  const int threads = config_.threads > 0 ? config_.threads : available_cores();
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

void Loader::reset(Slot& slot, int64_t step) {
  const auto size = static_cast<size_t>(config_.batch_size);
  const auto joints = skeleton_.joints.size();
  slot.step = step;
  slot.left = config_.batch_size;
  slot.errors.assign(size, nullptr);
  slot.batch.size = config_.batch_size;
  slot.batch.first_sample = sample_index(step, 0);
  slot.batch.crops.resize(size * 3 * static_cast<size_t>(config_.crop.height) *
                          static_cast<size_t>(config_.crop.width));
  slot.batch.pose.resize(size * joints * 2);
  slot.batch.valid.resize(size * joints);
  slot.batch.target.resize(size * joints * 2);
  slot.batch.target_valid.resize(size * joints);
}

const Batch& Loader::next() {
  PFX_CHECK(started_);
  std::unique_lock lock(mutex_);
  if (in_use_) {  // the batch handed out last is free again
    reset(slot_of(next_step_ - 1), next_step_ - 1 + static_cast<int64_t>(slots_.size()));
    in_use_ = false;
    room_.notify_all();
  }
  Slot& slot = slot_of(next_step_);
  const auto before = std::chrono::steady_clock::now();
  made_.wait(lock, [&] { return slot.step == next_step_ && slot.left == 0; });
  stalled_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  for (const std::exception_ptr& error : slot.errors) {
    if (error) std::rethrow_exception(error);
  }
  ++next_step_;
  in_use_ = true;
  return slot.batch;
}

double Loader::stall_share() const {
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  return started_ && elapsed > 0 ? stalled_s_ / elapsed : 0;
}

std::vector<std::string> Loader::take_reports() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(reports_, {});
}

void Loader::work() {
  SampleMaker maker(skeleton_, errors_, config_.crop);
  Appearance appearance(config_.appearance);
  for (;;) {
    int64_t step = 0;
    int64_t row = 0;
    Slot* slot = nullptr;
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return stop_ || slot_of(claim_step_).step == claim_step_; });
      if (stop_) return;
      step = claim_step_;
      row = claim_row_++;
      slot = &slot_of(step);
      if (claim_row_ == config_.batch_size) {
        claim_row_ = 0;
        ++claim_step_;
      }
    }
    std::exception_ptr error;
    try {
      make_sample(maker, appearance, slot->batch, step, row);
    } catch (...) {
      error = std::current_exception();
    }
    const std::scoped_lock lock(mutex_);
    slot->errors[static_cast<size_t>(row)] = error;
    if (--slot->left == 0) made_.notify_all();
  }
}

int64_t Loader::sample_index(int64_t step, int64_t row) const {
  const int64_t share = config_.batch_size / config_.parts;
  const int64_t part = step * config_.parts + row / share;
  return (part * config_.world + config_.rank) * share + row % share;
}

void Loader::make_sample(SampleMaker& maker, Appearance& appearance, Batch& batch, int64_t step, int64_t row) {
  const int64_t sample = sample_index(step, row);
  const auto epoch = static_cast<uint32_t>(sample / samples_per_epoch());
  std::shared_ptr<const image::Image> picture;
  const dataset::Person& person = person_at(sample, picture);
  Rng augmentation_rng(config_.seed, epoch, static_cast<uint64_t>(sample), kAugmentationStream);
  Rng error_rng(config_.seed, epoch, static_cast<uint64_t>(sample), kErrorStream);
  const image::Augmentation augmentation =
      config_.augment ? draw_augmentation(config_.augmentation, augmentation_rng) : image::Augmentation{};
  Rng estimate_rng(config_.seed, epoch, static_cast<uint64_t>(sample), kEstimateStream);
  const bool as_estimated = person.estimated && estimate_rng.uniform() < config_.estimate_share;
  const auto part = [&](auto& values) {
    const size_t length = values.size() / static_cast<size_t>(config_.batch_size);
    return std::span(values).subspan(static_cast<size_t>(row) * length, length);
  };
  Rng part_rng(config_.seed, epoch, static_cast<uint64_t>(sample), kPartStream);
  std::optional<dataset::Person> cut;
  if (config_.augment && part_rng.uniform() < config_.augmentation.part_probability) {
    cut = person;
    cut->bbox = draw_part(person.bbox, person.gt, part_rng);
  }
  maker.make(cut ? *cut : person, source_.people, *picture, augmentation, as_estimated, error_rng,
             {part(batch.crops), part(batch.pose), part(batch.valid), part(batch.target), part(batch.target_valid)});
  if (config_.augment && !config_.appearance.changes_nothing()) {
    Rng appearance_rng(config_.seed, epoch, static_cast<uint64_t>(sample), kAppearanceStream);
    appearance.change(config_.crop, appearance_rng, part(batch.crops));
  }
}

// In place of a person whose picture cannot be read, the next one in the epoch's order that can.
const dataset::Person& Loader::person_at(int64_t sample, std::shared_ptr<const image::Image>& picture) {
  const int64_t people = samples_per_epoch();
  const auto order = order_.epoch(static_cast<uint32_t>(sample / people));
  for (int64_t tried = 0; tried < people; ++tried) {
    const uint32_t index = (*order)[static_cast<size_t>((sample + tried) % people)];
    const dataset::Person& person = source_.people[index];
    try {
      picture = cache_.get(person.image);
      return person;
    } catch (const Error& error) {
      if (!config_.skip_corrupt || error.code() != ErrorCode::kBadInput) throw;
      const std::scoped_lock lock(mutex_);
      if (!reported_[person.image]) {
        reported_[person.image] = true;
        reports_.emplace_back(error.what());
      }
    }
  }
  throw bad_input("none of the {} people has a picture that can be read", people);
}

}  // namespace posefix::sample

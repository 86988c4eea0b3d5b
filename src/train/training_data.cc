#include "train/training_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "dataset/pose_results.h"
#include "dataset/skeleton_annotations.h"
#include "dataset/training_people.h"
#include "sample/loader.h"

namespace posefix::train {
namespace {

Options::Check probability(const double* value) {
  return [=] { return *value >= 0 && *value <= 1 ? std::string() : std::string("must be in [0, 1]"); };
}
Options::Check not_negative(const double* value) {
  return [=] { return *value >= 0 ? std::string() : std::string("must not be negative"); };
}

class LoaderSource : public DataSource {
 public:
  LoaderSource(sample::SampleSource source, const pose::Skeleton& skeleton, const synthesis::ErrorModel& errors,
               const sample::LoaderConfig& config)
      : loader_(std::move(source), skeleton, errors, config) {}

  int64_t samples_per_epoch() const override { return loader_.samples_per_epoch(); }
  void start(int64_t step) override { loader_.start(step); }
  const sample::Batch& next() override { return loader_.next(); }
  std::vector<std::string> take_reports() override { return loader_.take_reports(); }

 private:
  sample::Loader loader_;
};

sample::SampleSource open_set(const DataConfig& data, size_t i, const pose::Skeleton& skeleton) {
  const dataset::CocoAnnotations annotations = dataset::read_skeleton_annotations(data.annotations[i], skeleton);
  std::vector<dataset::Person> people;
  if (i < data.input_pose.size() && !data.input_pose[i].empty()) {
    dataset::PoseReadOptions pose_options;
    pose_options.joints = skeleton.size();
    pose_options.require_bbox = true;
    const dataset::PoseResults estimated = dataset::read_pose_results(data.input_pose[i], pose_options);
    people = dataset::training_people(annotations, &estimated);
  } else {
    people = dataset::training_people(annotations, nullptr);
  }
  return sample::locate_samples(annotations, std::move(people), data.images[i]);
}

}  // namespace

void add_options(Options& options, DataConfig& c) {
  options.add("data.annotations", &c.annotations, "COCO annotation files, one a data set");
  options.add("data.images", &c.images, "folders of their pictures, in the same order");
  options.add("data.input_pose", &c.input_pose,
              "an estimator's results on them (with bbox), where unannotated joints are put; [] = none");
  options.add("data.repeat", &c.repeat, "how many times each data set counts in an epoch; [] = once", [&c] {
    const bool good = std::all_of(c.repeat.begin(), c.repeat.end(), [](int64_t times) { return times > 0; });
    return good ? std::string() : std::string("must be positive");
  });
  options.add("data.estimate_share", &c.estimate_share,
              "of samples whose input is the person's pose in data.input_pose, not one with drawn errors",
              probability(&c.estimate_share));
  options.add("data.errors", &c.errors, "pose errors: paper, or a file of 'posefix errors fit'");
  options.add("data.skip_corrupt", &c.skip_corrupt, "go on without pictures that cannot be read");
  options.add("data.cache_mib", &c.cache_mib, "memory for decoded pictures, MiB",
              [&c] { return c.cache_mib >= 0 ? std::string() : std::string("must not be negative"); });
  options.add("data.threads", &c.threads, "threads that make samples; 0 = all cores. Results do not depend on it",
              [&c] { return c.threads >= 0 ? std::string() : std::string("must not be negative"); });
  options.add("augment.enabled", &c.augment, "random changes to the crops at all");
  options.add("augment.scale_sigma", &c.augmentation.scale_sigma, "scale ~ 1 + N(0, sigma), cut at sigma",
              not_negative(&c.augmentation.scale_sigma));
  options.add("augment.rotation_sigma", &c.augmentation.rotation_sigma_deg, "degrees, cut at 2 sigma",
              not_negative(&c.augmentation.rotation_sigma_deg));
  options.add("augment.rotation_probability", &c.augmentation.rotation_probability, "of rotating at all",
              probability(&c.augmentation.rotation_probability));
  options.add("augment.flip_probability", &c.augmentation.flip_probability, "of a mirrored picture",
              probability(&c.augmentation.flip_probability));
  options.add("augment.part_probability", &c.augmentation.part_probability,
              "of a crop of a part of the person's box, as of people whom the picture's edge cuts",
              probability(&c.augmentation.part_probability));
  options.add("augment.color_jitter", &c.appearance.color_jitter,
              "brightness and contrast are drawn from 1 - this to 1 + this, each channel's gain a third as far",
              probability(&c.appearance.color_jitter));
  options.add("augment.blur_probability", &c.appearance.blur_probability, "of a blurred crop",
              probability(&c.appearance.blur_probability));
  options.add("augment.patch_probability", &c.appearance.patch_probability,
              "of a patch over a part of the crop, a plain colour or a piece of the same crop",
              probability(&c.appearance.patch_probability));
}

std::unique_ptr<DataSource> open_training_data(const DataConfig& data, const TrainConfig& train,
                                               const model::ModelConfig& model, const pose::Skeleton& skeleton,
                                               const Place& place) {
  if (data.annotations.empty()) throw bad_input("data.annotations: names no file to train on");
  if (data.annotations.size() != data.images.size()) {
    throw bad_input("data.images: {} folders for {} files in data.annotations", data.images.size(),
                    data.annotations.size());
  }
  if (!data.input_pose.empty() && data.input_pose.size() != data.annotations.size()) {
    throw bad_input("data.input_pose: {} files for {} in data.annotations; write \"\" for a set without",
                    data.input_pose.size(), data.annotations.size());
  }
  if (!data.repeat.empty() && data.repeat.size() != data.annotations.size()) {
    throw bad_input("data.repeat: {} numbers for {} files in data.annotations", data.repeat.size(),
                    data.annotations.size());
  }
  sample::SampleSource source;
  for (size_t i = 0; i < data.annotations.size(); ++i) {
    const sample::SampleSource set = open_set(data, i, skeleton);
    const int64_t times = data.repeat.empty() ? 1 : data.repeat[i];
    for (int64_t time = 0; time < times; ++time) sample::append(source, set);
  }

  sample::LoaderConfig config;
  config.crop = {static_cast<int>(model.height()), static_cast<int>(model.width_px())};
  config.batch_size = train.batch_size / place.world;
  config.rank = static_cast<int>(place.rank);
  config.world = static_cast<int>(place.world);
  config.parts = train.accumulate;
  config.seed = static_cast<uint64_t>(train.seed);
  config.threads = static_cast<int>(data.threads);
  config.augment = data.augment;
  config.augmentation = data.augmentation;
  config.appearance = data.appearance;
  config.skip_corrupt = data.skip_corrupt;
  config.estimate_share = data.estimate_share;
  config.cache_bytes = static_cast<size_t>(data.cache_mib) << 20;
  return std::make_unique<LoaderSource>(std::move(source), skeleton,
                                        synthesis::ErrorModel::load_or_paper(data.errors, skeleton), config);
}

}  // namespace posefix::train

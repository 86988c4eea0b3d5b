#include "train/validation.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "dataset/coco_annotations.h"
#include "dataset/pose_results.h"
#include "evaluate/coco_keypoints.h"
#include "evaluate/detections.h"
#include "image/image.h"
#include "model/posefix_net.h"
#include "refine/refiner.h"
#include "refine/selection.h"
#include "runtime/session.h"
#include "torchgraph/crop_answers.h"

namespace posefix::train {
namespace {

constexpr int64_t kBatchSize = 16;  // of inference

// The network that is being trained, as refine wants it. `trainer` is borrowed.
class TrainerSession : public runtime::Session {
 public:
  TrainerSession(Trainer& trainer, const model::ModelConfig& model, const pose::Skeleton& skeleton)
      : trainer_(trainer) {
    info_.height = model.height();
    info_.width = model.width_px();
    info_.joints = skeleton.size();
    info_.heatmap_stride = model::kHeatmapStride;
    info_.precision = "f32";
    info_.backend = "torch";
    info_.skeleton_yaml = skeleton.yaml;
  }

  const runtime::ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return kBatchSize; }
  void run(const runtime::CropBatch& input, const runtime::RefinedBatch& output) override {
    torchgraph::answer_crops(trainer_.network(), {input.size, input.crops, input.pose, input.valid},
                             model::kImageMeanBgr, output.coords, output.spread);
  }

 private:
  Trainer& trainer_;
  runtime::ModelInfo info_;
};

// One data set with an estimator's poses: what `posefix refine` and `posefix evaluate` would say of it.
class EstimatedSet {
 public:
  EstimatedSet(const std::string& annotations, const std::string& images, const std::string& poses,
               const pose::Skeleton& skeleton)
      : skeleton_(skeleton),
        annotations_(dataset::read_coco_annotations(annotations, {.joints = skeleton.size()})),
        poses_(dataset::read_pose_results(poses, {.joints = skeleton.size()})),
        selection_(refine::select(poses_, images, &annotations_)) {}

  SetAp measure(Trainer& trainer, const model::ModelConfig& model) {
    if (!before_) before_ = average_precision(poses_.entries);
    TrainerSession session(trainer, model, skeleton_);
    refine::Refiner refiner(session, skeleton_, {.decode_threads = 1});
    const auto decode = [this](size_t picture) { return image::decode(selection_.pictures[picture]); };
    const refine::Refined refined = refiner.run(decode, selection_.people);
    std::vector<dataset::PoseResult> results;
    for (size_t i = 0; i < selection_.entries.size(); ++i) {
      if (refined.kept[i] == 0) continue;
      dataset::PoseResult result = poses_.entries[selection_.entries[i]];
      result.score = std::round(selection_.people[i].score * 1e4) / 1e4;
      const std::span<const double> coords = refined.coords(i);
      for (size_t j = 0; j < result.keypoints.size(); ++j) result.keypoints[j] = {coords[2 * j], coords[2 * j + 1], 1};
      results.push_back(std::move(result));
    }
    return {poses_.path, *before_, average_precision(results)};
  }

 private:
  double average_precision(const std::vector<dataset::PoseResult>& results) const {
    ThreadPool pool(1);
    const evaluate::Detections detections = evaluate::detections_of(results, skeleton_.size());
    return evaluate::figures(evaluate::match(annotations_, detections, skeleton_.sigmas, pool)).figures.ap;
  }

  pose::Skeleton skeleton_;
  dataset::CocoAnnotations annotations_;
  dataset::PoseResults poses_;
  refine::Selection selection_;  // borrows poses_
  std::optional<double> before_;
};

// Sums over annotated joints.
struct JointErrors {
  int64_t joints = 0;
  int64_t near = 0;
  double distance_px = 0;

  void add(std::span<const float> pose, const sample::Batch& batch, double near_px) {
    for (size_t i = 0; i < batch.target_valid.size(); ++i) {
      if (batch.target_valid[i] == 0) continue;
      const double distance = std::hypot(static_cast<double>(pose[2 * i]) - batch.target[2 * i],
                                         static_cast<double>(pose[2 * i + 1]) - batch.target[2 * i + 1]);
      ++joints;
      near += distance <= near_px ? 1 : 0;
      distance_px += distance;
    }
  }
  double mean_px() const { return joints == 0 ? 0 : distance_px / static_cast<double>(joints); }
  double pck() const { return joints == 0 ? 0 : static_cast<double>(near) / static_cast<double>(joints); }
};

class Validator {
 public:
  Validator(const ValidationConfig& validation, const DataConfig& data, const TrainConfig& train,
            const model::ModelConfig& model, const pose::Skeleton& skeleton)
      : data_(data), train_(train), model_(model), skeleton_(skeleton) {
    data_.annotations = validation.annotations;
    data_.images = validation.images;
    data_.input_pose.clear();
    data_.repeat.clear();
    data_.estimate_share = 0;
    data_.augment = false;
    train_.batch_size = kBatchSize;
    open_drawn();  // to complain now
    for (size_t i = 0; i < validation.poses.size(); ++i) {
      if (validation.poses[i].empty()) continue;
      sets_.push_back(std::make_unique<EstimatedSet>(validation.annotations[i], validation.images[i],
                                                     validation.poses[i], skeleton));
    }
  }

  ValidationFigures measure(Trainer& trainer) {
    const Trainer::AveragedWeights averaged(trainer);
    ValidationFigures figures;
    measure_drawn(trainer, figures);
    for (const auto& set : sets_) figures.sets.push_back(set->measure(trainer, model_));
    return figures;
  }

 private:
  std::unique_ptr<DataSource> open_drawn() const { return open_training_data(data_, train_, model_, skeleton_); }

  void measure_drawn(Trainer& trainer, ValidationFigures& figures) const {
    const std::unique_ptr<DataSource> source = open_drawn();
    source->start(0);
    // The last batch is filled with people of the next round; they count like the others.
    const int64_t batches = (source->samples_per_epoch() + kBatchSize - 1) / kBatchSize;
    const double near_px = kPckShare * static_cast<double>(model_.height());
    JointErrors before;
    JointErrors after;
    for (int64_t i = 0; i < batches; ++i) {
      throw_if_interrupted();
      const sample::Batch& batch = source->next();
      std::vector<float> refined(batch.pose.size());
      const LossValues losses = trainer.evaluate(batch, refined);
      figures.loss += (losses.heatmap + losses.coord) / static_cast<double>(batches);
      before.add(batch.pose, batch, near_px);
      after.add(refined, batch, near_px);
    }
    figures.error_before_px = before.mean_px();
    figures.error_after_px = after.mean_px();
    figures.pck_before = before.pck();
    figures.pck_after = after.pck();
  }

  DataConfig data_;
  TrainConfig train_;
  model::ModelConfig model_;
  pose::Skeleton skeleton_;
  std::vector<std::unique_ptr<EstimatedSet>> sets_;
};

double mean_of(const std::vector<SetAp>& sets, double SetAp::*figure) {
  double sum = 0;
  for (const SetAp& set : sets) sum += set.*figure;
  return sets.empty() ? 0 : sum / static_cast<double>(sets.size());
}

}  // namespace

double ValidationFigures::mean_ap_before() const { return mean_of(sets, &SetAp::before); }
double ValidationFigures::mean_ap_after() const { return mean_of(sets, &SetAp::after); }

void add_options(Options& options, ValidationConfig& c) {
  options.add("validation.annotations", &c.annotations, "COCO annotations of people that are not trained on");
  options.add("validation.images", &c.images, "folders of their pictures, in the same order");
  options.add("validation.poses", &c.poses, "an estimator's results on them, for AP before and after; [] = none");
}

Validate open_validation(const ValidationConfig& validation, const DataConfig& data, const TrainConfig& train,
                         const model::ModelConfig& model, const pose::Skeleton& skeleton) {
  if (validation.annotations.empty()) {
    if (train.validate_every > 0) {
      throw bad_input("train.validate_every {}: validation.annotations names no file to validate on",
                      train.validate_every);
    }
    return {};
  }
  if (validation.images.size() != validation.annotations.size()) {
    throw bad_input("validation.images: {} folders for {} files in validation.annotations", validation.images.size(),
                    validation.annotations.size());
  }
  if (!validation.poses.empty() && validation.poses.size() != validation.annotations.size()) {
    throw bad_input("validation.poses: {} files for {} in validation.annotations; write \"\" for a set without",
                    validation.poses.size(), validation.annotations.size());
  }
  if (train.validate_every <= 0) return {};
  const auto validator = std::make_shared<Validator>(validation, data, train, model, skeleton);
  return [validator](Trainer& trainer) { return validator->measure(trainer); };
}

}  // namespace posefix::train

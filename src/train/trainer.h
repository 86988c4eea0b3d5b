// One optimiser step: losses, gradients, update. No files, no schedule, no loop.
//
// Several processes: each has its share of the batch, gradients are those of the mean over all samples of all of them,
// and every process makes the same update. Losses are means over all processes too. Moving averages of batch norm move
// by the mean of what each process saw (so that all data counts; what normalises is each process's own), or with
// train.sync_batch_norm by the statistics of the whole batch. All state is equal on all ranks between steps.
// train.device_graphs: the forward and backward pass of a part is recorded with the first, and replayed for the others
// (torchgraph/recording.h). Everything else of a step is as ever: sums of gradients, decay, clipping, the update.
// Invariant: between steps the state is exactly variables + Adam's moments and step number (+ averaged weights)
// (+ the loss scale).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "sample/sample.h"
#include "tensorfile/snapshot.h"
#include "torchgraph/crop_answers.h"
#include "torchgraph/network.h"
#include "train/adam.h"
#include "train/collective.h"
#include "train/config.h"
#include "train/gradient_buckets.h"
#include "train/loss.h"
#include "train/loss_scale.h"

namespace posefix::train {

struct LossValues {
  double heatmap = 0;
  double coord = 0;  // heatmap_px
  double l2 = 0;
  double total() const { return heatmap + coord + l2; }
  bool finite() const;
};

class Trainer {
 public:
  // `dtype`: kF32, or kF64 for checks. Error (bad input) when the weights do not fit the graph, or the device or
  // several processes do not go with train.device_graphs.
  Trainer(const graph::Graph& graph, const NamedTensors& weights, const TrainConfig& config, const std::string& device,
          DType dtype = DType::kF32, std::shared_ptr<Collective> collective = std::make_shared<Collective>());
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Forward and backward of this process's share of a batch, in config.accumulate parts: gradients of the mean loss lie
  // in network().flat_gradients(), with the L2 term when the optimiser has one. Moving averages have moved. When a loss
  // is not finite on any rank the gradients mean nothing; the caller must not update(). With config.device_graphs a
  // batch has config.batch_size samples.
  LossValues compute_gradients(const sample::Batch& batch);
  // Ranks whose loss was not finite in the latest compute_gradients().
  const std::vector<int64_t>& non_finite_ranks() const { return non_finite_ranks_; }
  // Clips, then one optimiser step with that rate. Returns the gradient's norm before clipping, or 0 if not asked for.
  // f16: a step whose gradients overflowed changes nothing but the loss scale and the number of steps.
  double update(double rate);

  // Losses (without the L2 term) of a batch in inference mode, and the coordinates that the network answers with:
  // refined [B,K,2] crop_px. Changes nothing.
  LossValues evaluate(const sample::Batch& batch, std::span<float> refined_crop_px);

  // While it lives, the averaged weights stand in the network instead of the raw ones; nothing without averaging.
  class AveragedWeights {
   public:
    explicit AveragedWeights(Trainer& trainer);
    ~AveragedWeights();
    AveragedWeights(const AveragedWeights&) = delete;
    AveragedWeights& operator=(const AveragedWeights&) = delete;

   private:
    at::Tensor values_;  // the network's
    at::Tensor raw_;     // undefined: nothing to put back
  };

  // The whole batch as the network's inputs, the image on the network's device.
  torchgraph::Network::Inputs inputs(const sample::Batch& batch) const;

  torchgraph::Network& network() { return network_; }
  int64_t steps() const { return adam_.steps() + loss_scale_.skipped(); }
  const LossScale& loss_scale() const { return loss_scale_; }

  // variables and state of a snapshot; and back (Error (bad input) names what is missing or does not fit).
  void store(tensorfile::Snapshot& snapshot);
  void restore(const tensorfile::Snapshot& snapshot, const std::string& source);

  // Makes rank 0's state everybody's: at the start, or after restore() on rank 0.
  void share_state();

  // Names of the values of a training pass that hold a NaN or an infinity, in the order they are computed.
  std::vector<std::string> non_finite_values(const sample::Batch& batch);

  Adam& adam() { return adam_; }
  Collective& collective() const { return *collective_; }

 private:
  struct Part {
    torchgraph::CropInputs crops;
    std::span<const float> target;
    std::span<const float> target_valid;
  };
  Part part(const sample::Batch& batch, int64_t index, int64_t parts) const;
  Targets targets_of(const Part& part) const;  // on the CPU
  // Forward and backward pass of a part. `last`: of the step, so that gradients may travel while it runs. Returns the
  // two losses, [2] on the device, without waiting for them.
  at::Tensor backward(const Part& part, bool last);
  // `targets`: on the device; asked for when the forward pass is queued.
  at::Tensor backward(const torchgraph::Network::Inputs& inputs, const std::function<Targets()>& targets, bool last);
  struct RecordedPass;
  std::unique_ptr<RecordedPass> recorded_pass();
  // Means over all processes; fills non_finite_ranks_.
  LossValues over_all_ranks(const LossValues& mine);
  void average_moving_statistics(const at::Tensor& before);

  TrainConfig config_;
  std::shared_ptr<Collective> collective_;
  torchgraph::Network network_;
  Adam adam_;
  bool scales_loss_;  // f16
  LossScale loss_scale_;
  at::Tensor loss_factor_;                    // f16: the scale, on the device
  std::unique_ptr<GradientBuckets> buckets_;  // null: one process
  std::vector<int64_t> non_finite_ranks_;
  at::Tensor average_;  // flat averaged weights; undefined without
  int64_t height_;
  int64_t width_;
  int64_t joints_;
  std::unique_ptr<RecordedPass> recorded_;  // train.device_graphs
};

}  // namespace posefix::train

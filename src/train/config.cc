#include "train/config.h"

#include <fmt/format.h>

#include <algorithm>

namespace posefix::train {
namespace {

Options::Check at_least(const int64_t* value, int64_t least) {
  return [=] { return *value >= least ? std::string() : fmt::format("must be at least {}", least); };
}
Options::Check in_range(const double* value, double low, double high) {
  return [=] { return *value >= low && *value < high ? std::string() : fmt::format("must be in [{}, {})", low, high); };
}
Options::Check positive(const double* value) {
  return [=] { return *value > 0 ? std::string() : std::string("must be positive"); };
}
Options::Check one_of(const std::string* value, std::vector<std::string> names) {
  return [=] {
    const bool known = std::find(names.begin(), names.end(), *value) != names.end();
    return known ? std::string() : fmt::format("must be one of {}", fmt::join(names, ", "));
  };
}

void add_optimizer_options(Options& options, TrainConfig& c) {
  options.add("train.optimizer", &c.optimizer, "adam (the reference's) or adamw",
              one_of(&c.optimizer, {"adam", "adamw"}));
  options.add("train.learning_rate", &c.learning_rate, "base learning rate", positive(&c.learning_rate));
  options.add("train.beta1", &c.beta1, "Adam's decay of the mean", in_range(&c.beta1, 0, 1));
  options.add("train.beta2", &c.beta2, "Adam's decay of the square", in_range(&c.beta2, 0, 1));
  options.add("train.epsilon", &c.epsilon, "Adam's epsilon, beside sqrt(v)", positive(&c.epsilon));
  options.add("train.weight_decay", &c.weight_decay, "on */weights: L2 loss (adam), decoupled (adamw)",
              in_range(&c.weight_decay, 0, 1));
  options.add("train.clip_norm", &c.clip_norm, "largest norm of the whole gradient; 0 = no limit",
              in_range(&c.clip_norm, 0, 1e30));
  options.add("train.schedule", &c.schedule, "step or cosine", one_of(&c.schedule, {"step", "cosine"}));
  options.add("train.decay_epochs", &c.decay_epochs, "step: epochs at whose start the rate falls");
  options.add("train.decay_factor", &c.decay_factor, "step: by which it falls", positive(&c.decay_factor));
  options.add("train.warmup_epochs", &c.warmup_epochs, "the rate rises linearly over these",
              in_range(&c.warmup_epochs, 0, 1e9));
  options.add("train.final_learning_rate", &c.final_learning_rate, "cosine: where the rate ends",
              in_range(&c.final_learning_rate, 0, 1e9));
}

}  // namespace

void add_options(Options& options, TrainConfig& c) {
  options.add("train.batch_size", &c.batch_size, "persons per optimiser step", at_least(&c.batch_size, 1));
  options.add("train.accumulate", &c.accumulate, "forward passes per optimiser step; divides batch_size",
              at_least(&c.accumulate, 1));
  options.add("train.seed", &c.seed, "of initial weights, order, augmentation and pose errors", at_least(&c.seed, 0));
  options.add("train.epochs", &c.epochs, "passes over the data", at_least(&c.epochs, 1));
  options.add("train.start_from", &c.start_from,
              "snapshot to start from (see posefix init): its weights; Adam's moments and step, if it has them");
  add_optimizer_options(options, c);
  options.add("train.batch_norm_decay", &c.batch_norm_decay, "of the moving averages",
              in_range(&c.batch_norm_decay, 0, 1));
  options.add("train.sync_batch_norm", &c.sync_batch_norm, "batch statistics over all processes");
  options.add("train.ema_decay", &c.ema_decay, "averages the weights, which snapshots then hold; 0 = no averaging",
              in_range(&c.ema_decay, 0, 1));
  options.add("train.frozen", &c.frozen, "prefixes of variables that do not train");
  options.add("train.snapshot_every", &c.snapshot_every, "steps between snapshots", at_least(&c.snapshot_every, 1));
  options.add("train.keep_last", &c.keep_last, "newest snapshots kept as step_N.safetensors",
              at_least(&c.keep_last, 0));
  options.add("train.validate_every", &c.validate_every, "epochs between validations, e.g. 0.5; 0 = none",
              in_range(&c.validate_every, 0, 1e9));
  options.add("train.early_stop", &c.early_stop, "ends after so many validations without a better one; 0 = never",
              at_least(&c.early_stop, 0));
  options.add("train.log_every", &c.log_every, "steps between lines of metrics.jsonl", at_least(&c.log_every, 1));
  options.add("train.threads", &c.threads, "compute threads of a process; 0 = all cores. Results depend on the number",
              at_least(&c.threads, 0));
  options.add("train.precision", &c.precision,
              "of convolutions and feature maps: f32, bf16, f16 (with dynamic loss scaling)",
              one_of(&c.precision, {"f32", "bf16", "f16"}));
  options.add("train.timeout_s", &c.timeout_s, "seconds until a process that does not come to the others is given up",
              in_range(&c.timeout_s, 1, 1e6));
  options.add("train.channels_last", &c.channels_last, "keep feature maps in NHWC memory order");
  options.add("train.device_graphs", &c.device_graphs,
              "record the forward and backward pass on a GPU and launch it with one call; one process");
  options.add("train.blank_image", &c.blank_image,
              "zeros in place of the picture, in training and validation: shows what the picture contributes");
}

}  // namespace posefix::train

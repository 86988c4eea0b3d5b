#include "train/run.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "torchgraph/device.h"
#include "train/batch_file.h"
#include "train/loop.h"
#include "train/training_data.h"

namespace posefix::train {
namespace {

// Every key of a training configuration.
struct RunConfig {
  model::ModelConfig model;
  DataConfig data;
  TrainConfig train;
  Options options;

  RunConfig() {
    model::add_options(options, model);
    add_options(options, data);
    add_options(options, train);
  }
  RunConfig(const RunConfig&) = delete;
  RunConfig& operator=(const RunConfig&) = delete;

  // What snapshots hold: without the keys that no result depends on, at their defaults.
  std::string reproducible_yaml() {
    const DataConfig data_before = data;
    const TrainConfig train_before = train;
    data.threads = DataConfig{}.threads;
    data.cache_mib = DataConfig{}.cache_mib;
    train.snapshot_every = TrainConfig{}.snapshot_every;
    train.log_every = TrainConfig{}.log_every;
    std::string yaml = options.resolved_yaml();
    data = data_before;
    train = train_before;
    return yaml;
  }
};

NamedTensors starting_weights(const graph::Graph& graph, const TrainConfig& config) {
  if (config.start_from.empty()) return model::initialise(graph, static_cast<uint64_t>(config.seed));
  NamedTensors weights = tensorfile::read_snapshot(config.start_from).variables;
  model::check_weights(graph, weights, config.start_from);
  return weights;
}

void train_run(const RunRequest& request) {
  RunConfig config;
  config.options.load(request.config);
  for (const std::string& assignment : request.set) config.options.set(assignment);
  config.train.threads = torchgraph::fix_threads(static_cast<int>(config.train.threads));
  const pose::Skeleton skeleton = pose::Skeleton::load(config.model.skeleton);
  const std::unique_ptr<DataSource> data = open_training_data(config.data, config.train, config.model, skeleton);
  const graph::Graph graph = model::build(config.model, skeleton.size());

  RunFolder folder(request.out, request.resume);
  const std::string resolved = config.options.resolved_yaml();
  write_file_atomically(folder.config(), resolved);
  Trainer trainer(graph, starting_weights(graph, config.train), config.train, request.device);
  request.log(resolved.substr(0, resolved.rfind('\n')));
  request.log(fmt::format("device: {} (LibTorch {}), {} threads, {} persons to train on",
                          torchgraph::device_name(trainer.network().device()), torchgraph::libtorch_version(),
                          config.train.threads, data->samples_per_epoch()));
  LoopOptions options;
  options.stop_after = request.steps;
  options.config_yaml = config.reproducible_yaml();
  options.skeleton_yaml = skeleton.yaml;
  options.report = request.log;
  options.quiet = request.quiet;
  train_in(folder, trainer, *data, config.train, options);
}

// Runs the step of a non_finite.safetensors again and says where the values stop being finite.
void replay(const RunRequest& request) {
  const std::string source = request.replay.string();
  const tensorfile::Snapshot state = tensorfile::read_snapshot(request.replay);
  RunConfig config;
  config.options.load_text(state.config_yaml(), source + ": posefix.config");
  config.train.threads = torchgraph::fix_threads(static_cast<int>(config.train.threads));
  const pose::Skeleton skeleton = pose::Skeleton::parse(state.skeleton_yaml(), source + ": posefix.skeleton");
  const graph::Graph graph = model::build(config.model, skeleton.size());
  Trainer trainer(graph, state.variables, config.train, request.device);
  trainer.restore(state, source);
  const sample::Batch batch = load_batch(state, source);
  request.result(fmt::format("step {}, batch of {}", trainer.steps() + 1, batch.size));
  for (const std::string& name : trainer.non_finite_values(batch)) request.result("not finite: " + name);
  const LossValues losses = trainer.compute_gradients(batch);
  request.result(fmt::format("loss_heatmap {}, loss_coord {}, loss_l2 {}", losses.heatmap, losses.coord, losses.l2));
}

}  // namespace

void run(const RunRequest& request) { request.replay.empty() ? train_run(request) : replay(request); }

}  // namespace posefix::train

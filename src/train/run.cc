#include "train/run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "report/training_page.h"
#include "torchgraph/device.h"
#include "train/batch_file.h"
#include "train/collective.h"
#include "train/launch_environment.h"
#include "train/loop.h"
#include "train/schedule.h"
#include "train/training_data.h"
#include "train/validation.h"

namespace posefix::train {
namespace {

// Every key of a training configuration.
struct RunConfig {
  model::ModelConfig model;
  DataConfig data;
  TrainConfig train;
  ValidationConfig validation;
  Options options;

  RunConfig() {
    model::add_options(options, model);
    add_options(options, data);
    add_options(options, train);
    options.pass_over("calibrate");  // the program calibrates when training is over
    add_options(options, validation);
  }
  RunConfig(const RunConfig&) = delete;
  RunConfig& operator=(const RunConfig&) = delete;

  // What snapshots hold: without the keys that no result depends on, at their defaults.
  std::string reproducible_yaml() {
    const DataConfig data_before = data;
    const TrainConfig train_before = train;
    const ValidationConfig validation_before = validation;
    data.threads = DataConfig{}.threads;
    data.cache_mib = DataConfig{}.cache_mib;
    train.snapshot_every = TrainConfig{}.snapshot_every;
    train.log_every = TrainConfig{}.log_every;
    train.keep_last = TrainConfig{}.keep_last;
    train.validate_every = TrainConfig{}.validate_every;
    train.early_stop = TrainConfig{}.early_stop;
    validation = ValidationConfig{};
    train.timeout_s = TrainConfig{}.timeout_s;
    train.device_graphs = TrainConfig{}.device_graphs;
    std::string yaml = options.resolved_yaml();
    data = data_before;
    train = train_before;
    validation = validation_before;
    return yaml;
  }
};

tensorfile::Snapshot starting_point(const graph::Graph& graph, const TrainConfig& config) {
  tensorfile::Snapshot start;
  if (config.start_from.empty()) {
    start.variables = model::initialise(graph, static_cast<uint64_t>(config.seed));
    return start;
  }
  start = tensorfile::read_snapshot(config.start_from);
  model::check_weights(graph, start.variables, config.start_from);
  return start;
}

// A starting point with an optimiser's moments is a run to go on with; one without them is weights alone.
void begin_at(Trainer& trainer, const tensorfile::Snapshot& start, const TrainConfig& config, int64_t total_steps,
              const std::function<void(const std::string&)>& log) {
  const std::string& source = config.start_from;
  if (source.empty()) return;
  const auto moments = start.state.lower_bound("optimizer/m/");
  if (moments == start.state.end() || !moments->first.starts_with("optimizer/m/")) {
    log(fmt::format("start: weights of {}; it holds no moments, so the optimiser begins at step 0", source));
    return;
  }
  trainer.restore(start, source);
  if (trainer.steps() >= total_steps) {
    throw bad_input(
        "{}: has done {} steps, and the run has {} in all: raise train.epochs, or begin anew from its weights (posefix "
        "init --from FILE --weights-only)",
        source, trainer.steps(), total_steps);
  }
  log(fmt::format("start: weights, the optimiser's moments and the step number of {}: goes on after step {}", source,
                  trainer.steps()));
}

// The processor, as the kernel names it.
std::string machine_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return fmt::format("{}, {} cores", line.substr(line.find(':') + 2), available_cores());
    }
  }
  return fmt::format("{} cores", available_cores());
}

// Lines for a person: rank 0's, and of the others what only they know.
std::function<void(const std::string&)> reports_of(const RunRequest& request, const Place& place) {
  if (place.rank == 0) return request.log;
  return
      [log = request.log, rank = place.rank](const std::string& line) { log(fmt::format("rank {}: {}", rank, line)); };
}

void train_together(const RunRequest& request, RunConfig& config, const Place& place, const std::string& device,
                    const std::shared_ptr<Collective>& collective) {
  const pose::Skeleton skeleton = pose::Skeleton::load(config.model.skeleton);
  const std::unique_ptr<DataSource> data = open_training_data(config.data, config.train, config.model, skeleton, place);
  const graph::Graph graph = model::build(config.model, skeleton.size());

  RunFolder folder(request.out, request.resume, place.rank == 0);
  const std::string resolved = config.options.resolved_yaml();
  collective->check_same("configuration", config.reproducible_yaml() + skeleton.yaml);
  collective->check_same("number of persons", fmt::format("{}", data->samples_per_epoch()));
  const tensorfile::Snapshot start = starting_point(graph, config.train);
  Trainer trainer(graph, start.variables, config.train, device, DType::kF32, collective);
  if (place.rank == 0) {
    request.log(resolved.substr(0, resolved.rfind('\n')));
    request.log(fmt::format("device: {} (LibTorch {}), {} threads, {} persons to train on",
                            torchgraph::device_name(trainer.network().device()), torchgraph::libtorch_version(),
                            config.train.threads, data->samples_per_epoch()));
    if (trainer.network().device().is_cpu() && !config.train.channels_last) {
      request.log("hint: on a CPU train.channels_last=true is as exact and faster");
    }
    if (place.world > 1) {
      request.log(fmt::format("processes: {} (by the variables of {}), each {} of the {} persons of a step",
                              place.world, place.source, config.train.batch_size / place.world,
                              config.train.batch_size));
    }
  }
  if (folder.writes() && !std::filesystem::exists(folder.last())) {  // the others get rank 0's state
    const int64_t total_steps = run_length(config.train, data->samples_per_epoch()).total_steps;
    begin_at(trainer, start, config.train, total_steps, request.log);
  }
  LoopOptions options;
  options.stop_after = request.steps;
  options.config_yaml = config.reproducible_yaml();
  options.resolved_yaml = resolved;
  options.skeleton_yaml = skeleton.yaml;
  options.report = reports_of(request, place);
  options.quiet = request.quiet || place.rank > 0;
  options.validate = open_validation(config.validation, config.data, config.train, config.model, skeleton);
  options.start = {{"machine", machine_name()},
                   {"device", torchgraph::device_name(trainer.network().device())},
                   {"libtorch", torchgraph::libtorch_version()},
                   {"threads", config.train.threads},
                   {"persons", data->samples_per_epoch()}};
  train_in(folder, trainer, *data, config.train, options);
  if (folder.writes()) report::write_training_page(request.out, folder.report());
}

bool train_run(const RunRequest& request) {
  RunConfig config;
  config.options.load(request.config);
  for (const std::string& assignment : request.set) config.options.set(assignment);
  torchgraph::keep_freed_memory();
  const Place place = place_in_job(process_environment());
  if (config.train.batch_size % (config.train.accumulate * place.world) != 0) {
    throw bad_input("train.batch_size {}: train.accumulate {} times {} processes does not divide it",
                    config.train.batch_size, config.train.accumulate, place.world);
  }
  if (config.train.threads == 0) config.train.threads = std::max<int64_t>(1, available_cores() / place.local_world);
  config.train.threads = torchgraph::fix_threads(static_cast<int>(config.train.threads));
  std::string device = request.device;
  if (place.world > 1) device = torchgraph::device_of_process(device, place.local_rank, place.local_world);
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(config.train.timeout_s * 1000));
  const auto collective = std::make_shared<Collective>(place, timeout, torchgraph::collective_library(device));
  try {
    train_together(request, config, place, device, collective);
  } catch (const std::exception& error) {
    collective->leave_with(error.what());
    throw;
  }
  return place.rank == 0;
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

bool run(const RunRequest& request) {
  if (request.replay.empty()) return train_run(request);
  replay(request);
  return true;
}

}  // namespace posefix::train

#include "train/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "train/batch_file.h"
#include "train/schedule.h"

namespace posefix::train {
namespace {

using std::chrono::steady_clock;

double seconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

// Means over the steps since the last line of metrics.jsonl.
struct Window {
  int64_t steps = 0;
  LossValues sum;
  double waiting_s = 0;  // for data
  steady_clock::time_point began = steady_clock::now();

  void add(const LossValues& losses, double waited_s) {
    ++steps;
    sum.heatmap += losses.heatmap;
    sum.coord += losses.coord;
    sum.l2 += losses.l2;
    waiting_s += waited_s;
  }
};

class Loop {
 public:
  Loop(RunFolder& folder, Trainer& trainer, DataSource& data, const TrainConfig& config, const LoopOptions& options)
      : folder_(folder),
        trainer_(trainer),
        data_(data),
        config_(config),
        options_(options),
        length_(run_length(config, data.samples_per_epoch())),
        stop_(options.stop_after < 0 ? length_.total_steps : std::min(options.stop_after, length_.total_steps)),
        progress_("train", "samples", stop_ * config.batch_size, options.quiet) {}

  void run() {
    resume();
    progress_.set_start(trainer_.steps() * config_.batch_size);
    progress_.update(trainer_.steps() * config_.batch_size);
    data_.start(trainer_.steps());
    while (trainer_.steps() < stop_) {
      if (interrupted()) stop_for_signal();
      step();
      const int64_t done = trainer_.steps();
      if (done % config_.snapshot_every == 0 || done == stop_) write_snapshot();
    }
    progress_.finish();
  }

 private:
  void resume() {
    const std::optional<tensorfile::Snapshot> snapshot = folder_.read_last();
    if (snapshot) {
      const std::string source = folder_.last().string();
      check_same_config(snapshot->config_yaml(), options_.config_yaml, {"train.epochs"}, source);
      trainer_.restore(*snapshot, source);
      written_step_ = trainer_.steps();
    }
    folder_.open_metrics(trainer_.steps());
    if (trainer_.steps() > stop_) {
      throw bad_input("--steps {}: the run has done {} steps already", stop_, trainer_.steps());
    }
    if (!snapshot && stop_ == 0) write_snapshot();
  }

  void step() {
    const auto asked = steady_clock::now();
    const sample::Batch& batch = data_.next();
    for (const std::string& report : data_.take_reports()) options_.report(report);
    const double waited_s = seconds_since(asked);
    PFX_CHECK(batch.size == config_.batch_size);
    const LossValues losses = trainer_.compute_gradients(batch);
    if (!losses.finite()) stop_for_loss(batch, losses);
    const double rate = learning_rate(config_, length_, trainer_.steps());
    const int64_t skipped = trainer_.loss_scale().skipped();
    trainer_.update(rate);
    if (trainer_.loss_scale().skipped() > skipped) {
      options_.report(fmt::format("step {}: gradients overflowed f16; step skipped, loss scale now {}",
                                  trainer_.steps(), trainer_.loss_scale().value()));
    }
    window_.add(losses, waited_s);
    const int64_t done = trainer_.steps();
    progress_.update(done * config_.batch_size, fmt::format("step {}, loss {:.3f}", done, losses.total()));
    if (done % config_.log_every == 0) write_metrics(rate);
  }

  void write_metrics(double rate) {
    const auto steps = static_cast<double>(window_.steps);
    const double elapsed_s = seconds_since(window_.began);
    const int64_t done = trainer_.steps();
    const nlohmann::ordered_json line{{"step", done},
                                      {"epoch", length_.epoch(done)},
                                      {"loss", window_.sum.total() / steps},
                                      {"loss_heatmap", window_.sum.heatmap / steps},
                                      {"loss_coord", window_.sum.coord / steps},
                                      {"loss_l2", window_.sum.l2 / steps},
                                      {"learning_rate", rate},
                                      {"samples_per_s", steps * static_cast<double>(config_.batch_size) / elapsed_s},
                                      {"waiting_share", window_.waiting_s / elapsed_s}};
    folder_.append_metrics(line.dump());
    window_ = {};
  }

  tensorfile::Snapshot snapshot() {
    tensorfile::Snapshot result;
    trainer_.store(result);
    result.metadata["posefix.config"] = options_.config_yaml;
    result.metadata["posefix.skeleton"] = options_.skeleton_yaml;
    return result;
  }

  void write_snapshot() {
    tensorfile::write_snapshot(folder_.last(), snapshot());
    written_step_ = trainer_.steps();
  }

  [[noreturn]] void stop_for_signal() {
    if (written_step_ != trainer_.steps()) write_snapshot();
    progress_.finish();
    throw Error(ErrorCode::kInterrupted,
                fmt::format("interrupted after step {}; {} holds it, the same command with --resume goes on",
                            trainer_.steps(), folder_.last().string()));
  }

  [[noreturn]] void stop_for_loss(const sample::Batch& batch, const LossValues& losses) {
    tensorfile::Snapshot state = snapshot();
    store_batch(batch, state);
    tensorfile::write_snapshot(folder_.non_finite(), state);
    progress_.finish();
    throw failed(
        "step {}: the loss is not finite (heat map {}, coordinate {}); {} holds the weights and the batch for "
        "'posefix train --replay', {} the last good state. A lower train.learning_rate or train.clip_norm helps",
        trainer_.steps() + 1, losses.heatmap, losses.coord, folder_.non_finite().string(), folder_.last().string());
  }

  RunFolder& folder_;
  Trainer& trainer_;
  DataSource& data_;
  const TrainConfig& config_;
  const LoopOptions& options_;
  RunLength length_;
  int64_t stop_;
  Progress progress_;
  Window window_;
  int64_t written_step_ = -1;
};

}  // namespace

void train_in(RunFolder& folder, Trainer& trainer, DataSource& data, const TrainConfig& config,
              const LoopOptions& options) {
  Loop(folder, trainer, data, config, options).run();
}

}  // namespace posefix::train

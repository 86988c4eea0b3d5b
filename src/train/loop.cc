#include "train/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "train/batch_file.h"
#include "train/schedule.h"
#include "train/validation_history.h"

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

nlohmann::ordered_json as_json(const ValidationFigures& figures) {
  nlohmann::ordered_json json{{"score", figures.score()},
                              {"loss", figures.loss},
                              {"error_before_px", figures.error_before_px},
                              {"error_after_px", figures.error_after_px},
                              {"pck_before", figures.pck_before},
                              {"pck_after", figures.pck_after}};
  if (figures.sets.empty()) return json;
  json["ap_before"] = figures.mean_ap_before();
  json["ap_after"] = figures.mean_ap_after();
  for (const SetAp& set : figures.sets) {
    json["sets"].push_back({{"poses", set.poses}, {"ap_before", set.before}, {"ap_after", set.after}});
  }
  return json;
}

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
        history_(config, length_),
        progress_("train", "samples", stop_ * config.batch_size, options.quiet) {}

  void run() {
    resume();
    progress_.set_start(trainer_.steps() * config_.batch_size);
    progress_.update(trainer_.steps() * config_.batch_size);
    data_.start(trainer_.steps());
    // All ranks validate, so that none waits for long; rank 0's figures count.
    const bool late = history_.due(trainer_.steps()) && history_.last_step() < trainer_.steps();
    if (options_.validate && trainer_.collective().any(folder_.writes() && late)) validate();
    while (trainer_.steps() < stop_ && !stops_early()) {
      if (trainer_.collective().any(interrupted())) stop_for_signal();
      step();
      const int64_t done = trainer_.steps();
      // Before the snapshot, so that a run that goes on from it knows the figures.
      if (options_.validate && history_.due(done)) validate();
      if (done % config_.snapshot_every == 0 || done == stop_ || history_.should_stop()) write_snapshot();
    }
    progress_.finish();
    if (folder_.writes() && history_.should_stop()) {
      options_.report(fmt::format("stopped after step {}: {} validations without a better one than that after step {}",
                                  trainer_.steps(), config_.early_stop, history_.best_step()));
    }
  }

 private:
  void resume() {
    const std::optional<tensorfile::Snapshot> snapshot = folder_.read_last();
    if (snapshot) {
      const std::string source = folder_.last().string();
      check_same_config(snapshot->config_yaml(), options_.config_yaml, {"train.epochs", "train.device_graphs"}, source);
      check_same_processes(*snapshot, source);
      trainer_.restore(*snapshot, source);
      written_step_ = trainer_.steps();
    }
    trainer_.share_state();
    if (trainer_.steps() > stop_) {
      throw bad_input("--steps {}: the run has done {} steps already", stop_, trainer_.steps());
    }
    if (folder_.writes()) write_file_atomically(folder_.config(), options_.resolved_yaml);
    for (const auto& [step, score] : folder_.open_metrics(trainer_.steps())) history_.add(step, score);
    folder_.append_metrics({{"step", trainer_.steps()}, {"start", options_.start}});
    if (!snapshot && stop_ == 0) write_snapshot();
  }

  // Another number of processes sums in another order.
  void check_same_processes(const tensorfile::Snapshot& snapshot, const std::string& source) {
    const auto stored = snapshot.metadata.find("posefix.processes");
    const std::string began = stored == snapshot.metadata.end() ? "1" : stored->second;
    const std::string now = fmt::format("{}", world());
    if (began == now) return;
    throw bad_input(
        "{}: the run was begun by {} processes, now there are {}, and --resume goes on exactly; start as many, or "
        "begin another run with train.start_from={}",
        source, began, now, source);
  }

  void step() {
    const auto asked = steady_clock::now();
    const sample::Batch& batch = data_.next();
    for (const std::string& report : data_.take_reports()) options_.report(report);
    const double waited_s = seconds_since(asked);
    PFX_CHECK(batch.size * world() == config_.batch_size);
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
    show_progress(losses);
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
                                      {"seconds", elapsed_s},
                                      {"samples_per_s", steps * static_cast<double>(config_.batch_size) / elapsed_s},
                                      {"waiting_share", window_.waiting_s / elapsed_s}};
    folder_.append_metrics(line);
    window_ = {};
  }

  void show_progress(const LossValues& losses) {
    const int64_t done = trainer_.steps();
    std::string text = fmt::format("step {}, loss {:.3f}, waiting for data {:.0f}%", done, losses.total(),
                                   100 * window_.waiting_s / std::max(1e-9, seconds_since(window_.began)));
    if (!validated_.empty()) text += ", " + validated_;
    progress_.update(done * config_.batch_size, text);
  }

  void validate() {
    const auto began = steady_clock::now();
    ValidationFigures figures;
    try {
      figures = options_.validate(trainer_);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kInterrupted) throw;
      stop_for_signal();
    }
    const int64_t done = trainer_.steps();
    nlohmann::ordered_json line{{"step", done}, {"epoch", length_.epoch(done)}, {"validation", as_json(figures)}};
    line["validation"]["seconds"] = seconds_since(began);
    folder_.append_metrics(line);
    if (history_.add(done, figures.score()) && folder_.writes()) tensorfile::write_snapshot(folder_.best(), snapshot());
    validated_ = fmt::format("validation: error {:.2f} -> {:.2f} px", figures.error_before_px, figures.error_after_px);
    if (!figures.sets.empty()) {
      validated_ += fmt::format(", AP {:.2f} -> {:.2f}", 100 * figures.mean_ap_before(), 100 * figures.mean_ap_after());
    }
    if (!folder_.writes()) return;
    options_.report(fmt::format("step {}: {}{}", done, validated_, history_.best_step() == done ? " (best)" : ""));
    window_.began += std::chrono::duration_cast<steady_clock::duration>(steady_clock::now() - began);
  }

  tensorfile::Snapshot snapshot() {
    tensorfile::Snapshot result;
    trainer_.store(result);
    result.metadata["posefix.config"] = options_.config_yaml;
    result.metadata["posefix.skeleton"] = options_.skeleton_yaml;
    if (world() > 1) result.metadata["posefix.processes"] = fmt::format("{}", world());
    return result;
  }

  void write_snapshot() {
    if (!folder_.writes()) return;
    try {
      folder_.write_last(snapshot(), trainer_.steps(), config_.keep_last);
    } catch (const Error& error) {
      progress_.finish();
      if (written_step_ < 0) throw;
      throw failed(
          "{}; the run stops after step {}, {} holds step {}: make room, and the same command with --resume "
          "goes on from there",
          error.what(), trainer_.steps(), folder_.last().string(), written_step_);
    }
    written_step_ = trainer_.steps();
  }

  [[noreturn]] void stop_for_signal() {
    if (written_step_ != trainer_.steps()) write_snapshot();
    progress_.finish();
    if (!folder_.writes()) throw Error(ErrorCode::kInterrupted, "interrupted");
    throw Error(ErrorCode::kInterrupted,
                fmt::format("interrupted after step {}; {} holds it, the same command with --resume goes on",
                            trainer_.steps(), folder_.last().string()));
  }

  [[noreturn]] void stop_for_loss(const sample::Batch& batch, const LossValues& losses) {
    const std::vector<int64_t>& ranks = trainer_.non_finite_ranks();
    const int64_t rank = trainer_.collective().rank();
    const std::string where = world() > 1 ? fmt::format(" on rank {}", fmt::join(ranks, ", ")) : "";
    progress_.finish();
    if (std::find(ranks.begin(), ranks.end(), rank) == ranks.end() && !ranks.empty()) {
      throw failed("step {}: the loss is not finite{}, which writes the weights and its batch", trainer_.steps() + 1,
                   where);
    }
    tensorfile::Snapshot state = snapshot();
    store_batch(batch, state);
    const std::filesystem::path path = world() > 1 ? folder_.non_finite(rank) : folder_.non_finite();
    std::filesystem::create_directories(path.parent_path());  // rank 0 may have made it on another machine
    tensorfile::write_snapshot(path, state);
    throw failed(
        "step {}: the loss is not finite{} (heat map {}, coordinate {}); {} holds the weights and the batch for "
        "'posefix train --replay', {} the last good state. A lower train.learning_rate or train.clip_norm helps",
        trainer_.steps() + 1, where, losses.heatmap, losses.coord, path.string(), folder_.last().string());
  }

  // Rank 0 alone knows the figures of before a resume.
  bool stops_early() { return trainer_.collective().any(folder_.writes() && history_.should_stop()); }

  int64_t world() const { return trainer_.collective().world(); }

  RunFolder& folder_;
  Trainer& trainer_;
  DataSource& data_;
  const TrainConfig& config_;
  const LoopOptions& options_;
  RunLength length_;
  int64_t stop_;
  ValidationHistory history_;
  Progress progress_;
  std::string validated_;  // the latest validation, for the progress line
  Window window_;
  int64_t written_step_ = -1;
};

}  // namespace

void train_in(RunFolder& folder, Trainer& trainer, DataSource& data, const TrainConfig& config,
              const LoopOptions& options) {
  Loop(folder, trainer, data, config, options).run();
}

}  // namespace posefix::train

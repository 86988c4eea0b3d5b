#include "train/trainer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "model/posefix_net.h"
#include "torchgraph/layout.h"
#include "torchgraph/recording.h"
#include "torchgraph/transfer.h"

namespace posefix::train {
namespace {

torchgraph::NetworkOptions network_options(const TrainConfig& config, const std::string& device, DType dtype,
                                           const std::shared_ptr<Collective>& collective) {
  torchgraph::NetworkOptions options;
  options.device = device;
  options.dtype = dtype;
  options.precision = dtype_from_name(config.precision).value();
  options.batch_norm_decay = config.batch_norm_decay;
  options.channels_last = config.channels_last;
  options.blank_image = config.blank_image;
  options.frozen = config.frozen;
  if (config.sync_batch_norm) {
    options.gather = [collective](const at::Tensor& values) { return collective->gather(values); };
  }
  return options;
}

NamedTensors with_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors result;
  for (const auto& [name, tensor] : tensors) result.emplace(prefix + name, tensor);
  return result;
}

NamedTensors without_prefix(const NamedTensors& tensors, const std::string& prefix) {
  NamedTensors result;
  for (auto it = tensors.lower_bound(prefix); it != tensors.end() && it->first.starts_with(prefix); ++it) {
    result.emplace(it->first.substr(prefix.size()), it->second);
  }
  return result;
}

Targets sent(const Targets& host, const at::Device& device) {
  return {torchgraph::send(host.heatmap, device), torchgraph::send(host.coords_heatmap_px, device),
          torchgraph::send(host.valid, device)};
}

}  // namespace

struct Trainer::RecordedPass {
  torchgraph::FixedInputs inputs;
  Targets targets;
  torchgraph::RecordedWork work;
};

bool LossValues::finite() const { return std::isfinite(total()); }

Trainer::Trainer(const graph::Graph& graph, const NamedTensors& weights, const TrainConfig& config,
                 const std::string& device, DType dtype, std::shared_ptr<Collective> collective)
    : config_(config),
      collective_(std::move(collective)),
      network_(graph, weights, network_options(config, device, dtype, collective_)),
      adam_(config, network_.flat_values(), network_.trainable_count(), network_.decaying_count()),
      scales_loss_(config.precision == "f16") {
  const Shape& image = graph.node(graph.find("image")).type.shape;
  height_ = image.at(1);
  width_ = image.at(2);
  joints_ = graph.node(graph.find("valid")).type.shape.at(1);
  const int64_t world = collective_->world();
  if (config.batch_size % (config.accumulate * world) != 0) {
    throw bad_input("train.batch_size {}: train.accumulate {} times {} processes does not divide it", config.batch_size,
                    config.accumulate, world);
  }
  if (world > 1) buckets_ = std::make_unique<GradientBuckets>(network_, *collective_);
  if (config.ema_decay > 0) average_ = network_.flat_values().clone();
  if (scales_loss_) loss_factor_ = at::zeros({}, network_.flat_values().options());
  if (config.device_graphs) recorded_ = recorded_pass();
}

Trainer::~Trainer() = default;

std::unique_ptr<Trainer::RecordedPass> Trainer::recorded_pass() {
  const std::string option = "train.device_graphs: true";
  if (collective_->world() > 1) {
    throw bad_input("{}: only one process records its passes, these are {}; leave it out", option,
                    collective_->world());
  }
  const torchgraph::Recorder recorder = torchgraph::open_recorder(network_.device(), option);
  const int64_t size = config_.batch_size / config_.accumulate;
  const int64_t cells = (height_ / model::kHeatmapStride) * (width_ / model::kHeatmapStride);
  const at::TensorOptions options = network_.flat_values().options();
  const Targets targets{at::zeros({size, joints_, cells}, options), at::zeros({size, joints_, 2}, options),
                        at::zeros({size, joints_}, options)};
  const auto pass = [this] {
    return std::vector{backward(
        recorded_->inputs.inputs(), [this] { return recorded_->targets; }, false)};
  };
  return std::unique_ptr<RecordedPass>(
      new RecordedPass{{network_, size, model::kImageMeanBgr}, targets, {network_.device(), recorder, pass}});
}

Trainer::Part Trainer::part(const sample::Batch& batch, int64_t index, int64_t parts) const {
  const int64_t size = batch.size / parts;
  const int64_t first = index * size;
  const auto rows = [&](const auto& values, int64_t row) {
    return std::span(values).subspan(static_cast<size_t>(first * row), static_cast<size_t>(size * row));
  };
  return {{size, rows(batch.crops, height_ * width_ * 3), rows(batch.pose, joints_ * 2), rows(batch.valid, joints_)},
          rows(batch.target, joints_ * 2),
          rows(batch.target_valid, joints_)};
}

torchgraph::Network::Inputs Trainer::inputs(const sample::Batch& batch) const {
  return torchgraph::network_inputs(network_, part(batch, 0, 1).crops, model::kImageMeanBgr);
}

LossValues Trainer::over_all_ranks(const LossValues& mine) {
  const int64_t world = collective_->world();
  const auto count = static_cast<double>(world);
  std::vector<double> values{mine.heatmap / count, mine.coord / count};
  values.resize(static_cast<size_t>(2 + world), 0);
  values[static_cast<size_t>(2 + collective_->rank())] = mine.finite() ? 0 : 1;
  values = collective_->sum(std::move(values));
  non_finite_ranks_.clear();
  for (int64_t rank = 0; rank < world; ++rank) {
    if (values[static_cast<size_t>(2 + rank)] > 0) non_finite_ranks_.push_back(rank);
  }
  return {values[0], values[1], 0};
}

Targets Trainer::targets_of(const Part& part) const {
  const int64_t stride = model::kHeatmapStride;
  return make_targets(part.target, part.target_valid, joints_, height_ / stride, width_ / stride,
                      network_.options().dtype);
}

LossValues Trainer::evaluate(const sample::Batch& batch, std::span<float> refined_crop_px) {
  const auto values =
      network_.forward(inputs(batch), torchgraph::Mode::kInference, {"logits", "coords_heatmap_px", "coords"});
  const c10::NoGradGuard no_grad;
  const Losses losses = pose_losses(values[0], values[1], sent(targets_of(part(batch, 0, 1)), network_.device()));
  const at::Tensor coords = values[2].to(at::kCPU, at::kFloat).contiguous();
  PFX_CHECK(coords.numel() == static_cast<int64_t>(refined_crop_px.size()));
  std::copy_n(coords.data_ptr<float>(), coords.numel(), refined_crop_px.begin());
  return {losses.heatmap.item<double>(), losses.coord.item<double>(), 0};
}

Trainer::AveragedWeights::AveragedWeights(Trainer& trainer) : values_(trainer.network_.flat_values()) {
  if (!trainer.average_.defined()) return;
  const c10::NoGradGuard no_grad;
  raw_ = values_.clone();
  values_.copy_(trainer.average_);
}

Trainer::AveragedWeights::~AveragedWeights() {
  const c10::NoGradGuard no_grad;
  if (raw_.defined()) values_.copy_(raw_);
}

at::Tensor Trainer::backward(const Part& part, bool last) {
  if (recorded_ == nullptr) {
    return backward(
        torchgraph::network_inputs(network_, part.crops, model::kImageMeanBgr),
        [&] { return sent(targets_of(part), network_.device()); }, last);
  }
  recorded_->inputs.put(part.crops);
  const Targets targets = targets_of(part);
  torchgraph::send_into(targets.heatmap, recorded_->targets.heatmap);
  torchgraph::send_into(targets.coords_heatmap_px, recorded_->targets.coords_heatmap_px);
  torchgraph::send_into(targets.valid, recorded_->targets.valid);
  return recorded_->work.run().front().clone();  // the next part writes there too
}

at::Tensor Trainer::backward(const torchgraph::Network::Inputs& inputs, const std::function<Targets()>& targets,
                             bool last) {
  const auto values = network_.forward(inputs, torchgraph::Mode::kTraining, {"logits", "coords_heatmap_px"});
  const c10::AutoGradMode grad_mode(true);
  const Losses losses = pose_losses(values[0], values[1], targets());
  if (buckets_ && last) buckets_->arm();
  at::Tensor total = losses.heatmap + losses.coord;
  const int64_t shares = config_.accumulate * collective_->world();
  if (shares > 1) total = total / static_cast<double>(shares);
  // The scale as the gradient to begin with, from the device's memory: a recording would keep a number.
  total.backward(loss_factor_);
  return at::stack({losses.heatmap.detach(), losses.coord.detach()});
}

LossValues Trainer::compute_gradients(const sample::Batch& batch) {
  PFX_CHECK(batch.size % config_.accumulate == 0 && batch.size > 0);
  at::Tensor gradients = network_.flat_gradients();
  gradients.zero_();
  if (scales_loss_) loss_factor_.fill_(loss_scale_.value());
  const at::Tensor moving_before = buckets_ ? network_.moving_statistics().clone() : at::Tensor();
  std::vector<at::Tensor> losses;  // [2] of every part
  for (int64_t i = 0; i < config_.accumulate; ++i) {
    losses.push_back(backward(part(batch, i, config_.accumulate), i + 1 == config_.accumulate));
  }
  if (buckets_) buckets_->finish();
  // The step's one wait for the device, after everything was queued that does not depend on it.
  const at::Tensor values = at::stack(losses).cpu().to(at::kDouble);
  LossValues mean;
  for (int64_t i = 0; i < config_.accumulate; ++i) {
    mean.heatmap += values[i][0].item<double>() / static_cast<double>(config_.accumulate);
    mean.coord += values[i][1].item<double>() / static_cast<double>(config_.accumulate);
  }
  mean = over_all_ranks(mean);
  if (!mean.finite()) return mean;
  if (buckets_ && !config_.sync_batch_norm) average_moving_statistics(moving_before);
  if (scales_loss_) gradients.mul_(1 / loss_scale_.value());
  if (config_.optimizer == "adam" && config_.weight_decay > 0) {
    mean.l2 = add_weight_decay(network_.flat_values(), gradients, network_.decaying_count(), config_.weight_decay);
  }
  return mean;
}

// From the change, so that statistics that did not move (of frozen layers) keep their bits.
void Trainer::average_moving_statistics(const at::Tensor& before) {
  const c10::NoGradGuard no_grad;
  const at::Tensor change = network_.moving_statistics() - before;
  collective_->all_reduce(change);
  at::Tensor moving = network_.moving_statistics();
  moving.copy_(before + change / static_cast<double>(collective_->world()));
}

void Trainer::share_state() {
  const c10::NoGradGuard no_grad;
  for (const at::Tensor& values :
       {network_.flat_values(), network_.moving_statistics(), adam_.mean(), adam_.square()}) {
    collective_->broadcast(values);
  }
  if (average_.defined()) collective_->broadcast(average_);
  Tensor scale = loss_scale_.state();
  std::vector<double> numbers{static_cast<double>(adam_.steps())};
  for (const double value : scale.as<double>()) numbers.push_back(value);
  if (collective_->rank() > 0) numbers.assign(numbers.size(), 0);
  numbers = collective_->sum(std::move(numbers));
  adam_.set_steps(static_cast<int64_t>(numbers.front()));
  std::memcpy(scale.mutable_bytes().data(), &numbers[1], scale.bytes().size());
  loss_scale_.restore(scale);
}

double Trainer::update(double rate) {
  const c10::NoGradGuard no_grad;
  at::Tensor gradients = network_.flat_gradients();
  double gradient_norm = 0;
  if (config_.clip_norm > 0 || scales_loss_) gradient_norm = l2_norm(gradients);
  if (scales_loss_) {
    const bool finite = std::isfinite(gradient_norm);
    loss_scale_.update(finite);
    if (!finite) return gradient_norm;
  }
  if (config_.clip_norm > 0 && gradient_norm > config_.clip_norm) {
    gradients.mul_(config_.clip_norm / gradient_norm);
  }
  at::Tensor values = network_.flat_values();
  adam_.step(values, gradients, rate);
  if (average_.defined()) {
    // Short at first, or the random start would weigh in for thousands of steps.
    // Source: tf.train.ExponentialMovingAverage with num_updates.
    const auto step = static_cast<double>(adam_.steps());
    average_.add_((values - average_).mul_(1 - std::min(config_.ema_decay, (1 + step) / (10 + step))));
  }
  return gradient_norm;
}

std::vector<std::string> Trainer::non_finite_values(const sample::Batch& batch) {
  std::vector<std::string> names;
  for (const graph::Node& node : network_.graph().nodes()) {
    if (node.op != graph::Op::kInput && node.op != graph::Op::kWeight) names.push_back(node.name);
  }
  const auto values = network_.forward(inputs(batch), torchgraph::Mode::kTraining, names);
  std::vector<std::string> found;
  for (const torchgraph::Variable& variable : network_.variables()) {
    if (!variable.value.isfinite().all().item<bool>()) found.push_back(variable.name);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (!values[i].isfinite().all().item<bool>()) found.push_back(names[i]);
  }
  return found;
}

void Trainer::store(tensorfile::Snapshot& snapshot) {
  snapshot.variables = network_.export_variables();
  snapshot.state = with_prefix(network_.export_flat(adam_.mean()), "optimizer/m/");
  snapshot.state.merge(with_prefix(network_.export_flat(adam_.square()), "optimizer/v/"));
  if (average_.defined()) {
    // Readers want the averages; training goes on from the raw values.
    for (auto& [name, tensor] : network_.export_flat(average_)) {
      Tensor& variable = snapshot.variables.at(name);
      snapshot.state.emplace("train/raw/" + name, std::exchange(variable, tensor));
    }
  }
  if (scales_loss_) snapshot.state.emplace("train/loss_scale", loss_scale_.state());
  snapshot.metadata["posefix.step"] = fmt::format("{}", steps());
}

void Trainer::restore(const tensorfile::Snapshot& snapshot, const std::string& source) {
  network_.import_variables(snapshot.variables);
  network_.import_flat(without_prefix(snapshot.state, "optimizer/m/"), adam_.mean(), source + ": optimizer/m");
  network_.import_flat(without_prefix(snapshot.state, "optimizer/v/"), adam_.square(), source + ": optimizer/v");
  at::Tensor values = network_.flat_values();
  if (average_.defined()) average_.copy_(values);
  const NamedTensors raw = without_prefix(snapshot.state, "train/raw/");  // none: made without averaging
  if (!raw.empty()) network_.import_flat(raw, values, source + ": train/raw");
  const auto step = snapshot.metadata.find("posefix.step");
  if (step == snapshot.metadata.end()) throw bad_input("{}: metadata 'posefix.step' is missing", source);
  if (scales_loss_) {
    const auto scale = snapshot.state.find("train/loss_scale");
    if (scale == snapshot.state.end()) throw bad_input("{}: 'train/loss_scale' is missing", source);
    loss_scale_.restore(scale->second);
  }
  adam_.set_steps(std::stoll(step->second) - loss_scale_.skipped());
}

}  // namespace posefix::train

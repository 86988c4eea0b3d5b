// Runs a plan step by step with the kernels of kernels.h. One arena of f32 [B,H,W,C] maps.
#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "runtime/backend.h"
#include "runtime/backends/reference/kernels.h"

namespace posefix::runtime {
namespace {

using plan::Op;
using plan::Step;
using plan::TensorInfo;
using reference::Map;

class ReferenceSession : public Session {
 public:
  ReferenceSession(PlanPointer plan, const SessionOptions& options)
      : plan_(std::move(plan)),
        info_(info_of(*plan_, "reference")),
        max_batch_(options.max_batch),
        pool_(options.threads) {
    const std::string& precision = plan_->metadata.precision;
    if (precision != "f32" && precision != "int8") {
      throw bad_input("a plan in {}; the reference backend runs f32 and int8", precision);
    }
    // Whole numbers are held as floats, so a map takes one float for every byte that the plan gives it.
    bytes_per_float_ = precision == "int8" ? 1 : sizeof(float);
    arena_.resize(plan_->arena_bytes / bytes_per_float_ * static_cast<size_t>(max_batch_));
    allocate_rendered();
    take_weights();
  }

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }

  void run(const CropBatch& input, const RefinedBatch& output) override {
    check_batch(info_, max_batch_, input, output);
    batch_ = input.size;
    for (const Step& step : plan_->steps) run_step(step, input, output);
  }

  std::vector<float> kept(const std::string& name) const override {
    for (const plan::KeptTensor& entry : plan_->kept) {
      if (entry.name != name) continue;
      const TensorInfo& t = tensor(entry.tensor);
      const float* from = data(entry.tensor);
      std::vector<float> values(from, from + batch_ * map(t).size());
      for (float& value : values) value *= scale(entry.tensor);
      return values;
    }
    throw bad_input("the plan does not keep the value '{}'", name);
  }

 private:
  const TensorInfo& tensor(int32_t id) const { return plan_->tensors[static_cast<size_t>(id)]; }
  static Map map(const TensorInfo& t) { return {t.height, t.width, t.channels}; }
  Map map(int32_t id) const { return map(tensor(id)); }
  size_t start(int32_t id) const { return tensor(id).offset / bytes_per_float_ * static_cast<size_t>(batch_); }
  float* data(int32_t id) { return arena_.data() + start(id); }
  const float* data(int32_t id) const { return arena_.data() + start(id); }
  bool is_whole(int32_t id) const { return tensor(id).dtype != DType::kF32; }
  float scale(int32_t id) const { return is_whole(id) ? tensor(id).scale : 1; }
  reference::Stored stored(int32_t id) const {
    if (!is_whole(id)) return {};
    const bool is_signed = tensor(id).dtype == DType::kI8;
    return {true, double{tensor(id).scale}, is_signed ? -128.0 : 0.0, is_signed ? 127.0 : 255.0};
  }

  // A pose stem is computed the long way: the rendered pose, then the convolution.
  void allocate_rendered() {
    const auto is_stem = [](const Step& step) { return step.op == Op::kPoseStem; };
    if (std::any_of(plan_->steps.begin(), plan_->steps.end(), is_stem)) {
      rendered_.resize(static_cast<size_t>(max_batch_ * info_.height * info_.width * info_.joints));
    }
  }

  // i8 weights as the floats that the kernels read.
  void take_weights() {
    for (const plan::Weight& weight : plan_->weights) {
      Tensor values = weight.values();
      if (values.dtype() == DType::kI8) {
        const std::span<const int8_t> stored = values.as<int8_t>();
        values = Tensor::from_f32(values.shape(), std::vector<float>(stored.begin(), stored.end()));
      }
      weights_.push_back(std::move(values));
    }
  }
  const float* weight(int32_t id) const { return weights_[static_cast<size_t>(id)].f32().data(); }

  void run_step(const Step& step, const CropBatch& input, const RefinedBatch& output) {
    switch (step.op) {
      case Op::kAssembleInput:
        reference::render_pose(batch_, map(step.output), {info_.joints, step.sigma_px}, 3, input.pose.data(),
                               input.valid.data(), data(step.output), pool_);
        [[fallthrough]];
      case Op::kNormaliseImage:
        return reference::normalise_image(batch_, map(step.output), plan_->metadata.mean_bgr, input.crops.data(),
                                          data(step.output));
      case Op::kPoseStem:
        return pose_stem(step, input);
      case Op::kConv2d:
      case Op::kConvTranspose2d:
        return convolve(step, map(step.inputs[0]), data(step.inputs[0]));
      case Op::kMaxPool:
        return reference::max_pool(batch_, map(step.inputs[0]), map(step.output), step.kernel, step.stride,
                                   {step.pads[0], step.pads[2]}, data(step.inputs[0]), data(step.output), pool_);
      case Op::kPad:
        return pad(step);
      case Op::kConcat:
        return concat(step);
      case Op::kChannelAffine:
      case Op::kRelu:
      case Op::kAdd:
        return element_wise(step);
      case Op::kConvert:
        return convert(step);
      case Op::kDecode:
        return reference::decode(batch_, map(step.inputs[0]), step.factor, data(step.inputs[0]), output.coords.data(),
                                 output.spread.empty() ? nullptr : output.spread.data());
    }
  }

  void pose_stem(const Step& step, const CropBatch& input) {
    const Map whole{info_.height, info_.width, info_.joints};
    reference::render_pose(batch_, whole, {info_.joints, step.sigma_px}, 0, input.pose.data(), input.valid.data(),
                           rendered_.data(), pool_);
    convolve(step, whole, rendered_.data());
  }

  void convolve(const Step& step, Map in, const float* x) {
    const Shape& w = plan_->weight_infos[static_cast<size_t>(step.weights[0])].shape;
    reference::Convolution c;
    c.batch = batch_;
    c.in = in;
    c.out = map(step.output);
    c.kernel_height = w[0];
    c.kernel_width = w[1];
    c.stride = step.stride;
    c.pad = {step.pads[0], step.pads[2]};
    c.transposed = step.op == Op::kConvTranspose2d;
    if (c.transposed) c.pad = {(w[0] - step.stride) / 2, (w[1] - step.stride) / 2};
    c.relu = step.relu;
    c.weights = weight(step.weights[0]);
    const int32_t scales = plan::weight_scales(*plan_, step);
    if (scales >= 0) {
      c.weight_scales = weight(scales);
      c.in_scale = double{scale(step.inputs[0])};
    }
    if (step.has_residual) c.residual_scale = double{scale(step.inputs.back())};
    c.stored = stored(step.output);
    c.bias = step.has_bias ? weight(step.weights[1]) : nullptr;
    c.residual = step.has_residual ? data(step.inputs.back()) : nullptr;
    reference::convolve(c, x, data(step.output), pool_);
  }

  void convert(const Step& step) {
    const float* x = data(step.inputs[0]);
    float* y = data(step.output);
    const double factor = double{scale(step.inputs[0])};
    const reference::Stored store = stored(step.output);
    for (int64_t i = 0; i < batch_ * map(step.output).size(); ++i) y[i] = store(factor * x[i]);
  }

  void pad(const Step& step) {
    const Map in = map(step.inputs[0]);
    const Map out = map(step.output);
    const float* x = data(step.inputs[0]);
    float* y = data(step.output);
    std::fill_n(y, batch_ * out.size(), 0.0F);
    for (int64_t row = 0; row < batch_ * in.height; ++row) {
      const int64_t to_row = row / in.height * out.height + row % in.height + step.pads[0];
      std::copy_n(x + row * in.width * in.channels, in.width * in.channels,
                  y + (to_row * out.width + step.pads[2]) * out.channels);
    }
  }

  void concat(const Step& step) {
    const Map out = map(step.output);
    int64_t first = 0;
    for (const int32_t id : step.inputs) {
      const Map in = map(id);
      for (int64_t pixel = 0; pixel < batch_ * out.pixels(); ++pixel) {
        std::copy_n(data(id) + pixel * in.channels, in.channels, data(step.output) + pixel * out.channels + first);
      }
      first += in.channels;
    }
  }

  void element_wise(const Step& step) {
    const int64_t channels = tensor(step.output).channels;
    const float* x = data(step.inputs[0]);
    float* y = data(step.output);
    const float* second = step.op == Op::kAdd ? data(step.inputs[1]) : nullptr;
    const float* scale = step.op == Op::kChannelAffine ? weight(step.weights[0]) : nullptr;
    const float* shift = step.op == Op::kChannelAffine ? weight(step.weights[1]) : nullptr;
    for (int64_t i = 0; i < batch_ * map(step.output).size(); ++i) {
      double value = x[i];
      if (second != nullptr) value += second[i];
      if (scale != nullptr) value = value * scale[i % channels] + shift[i % channels];
      if (step.op == Op::kRelu || step.relu) value = std::max(value, 0.0);
      y[i] = static_cast<float>(value);
    }
  }

  PlanPointer plan_;
  ModelInfo info_;
  int64_t max_batch_;
  ThreadPool pool_;
  int64_t batch_ = 0;
  size_t bytes_per_float_ = sizeof(float);  // of the plan's sizes
  std::vector<float> arena_;
  std::vector<Tensor> weights_;  // f32, by id
  std::vector<float> rendered_;
};

}  // namespace

std::unique_ptr<Session> open_reference(PlanPointer plan, const SessionOptions& options) {
  return std::make_unique<ReferenceSession>(std::move(plan), options);
}

}  // namespace posefix::runtime

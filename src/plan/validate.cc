// The invariants of a plan. A forged file reaches this code, so every figure is bounded before it is multiplied.
#include <fmt/format.h>

#include "plan/plan.h"
#include "plan/plan_layout.h"

namespace posefix::plan {
namespace {

constexpr int64_t kMaxSide = 1 << 14;      // px of a feature map
constexpr int64_t kMaxChannels = 1 << 16;  //
constexpr int64_t kMaxPersonBytes = int64_t{1} << 34;

using Text = std::string;  // "" : fine

Text check_metadata(const Metadata& m, uint64_t arena_bytes) {
  const auto in = [](int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; };
  if (!in(m.height, 1, kMaxSide) || !in(m.width, 1, kMaxSide)) {
    return fmt::format("the crop is {}x{}, expected sides from 1 to {}", m.height, m.width, kMaxSide);
  }
  if (!in(m.joints, 1, 4096)) return fmt::format("{} joints, expected 1 to 4096", m.joints);
  if (!in(m.heatmap_stride, 1, 64)) return fmt::format("heat-map stride {}, expected 1 to 64", m.heatmap_stride);
  if (m.precision != "f32" && m.precision != "bf16" && m.precision != "int8") {
    return fmt::format("precision '{}' is not known to this program", m.precision);
  }
  if (arena_bytes > kMaxPersonBytes) return fmt::format("the arena takes {} bytes per person", arena_bytes);
  return "";
}

bool is_whole(const TensorInfo& t) { return t.dtype == DType::kI8 || t.dtype == DType::kU8; }

Text check_tensor(const TensorInfo& t, uint64_t arena_bytes, const std::string& precision) {
  if (t.height < 1 || t.width < 1 || t.height > kMaxSide || t.width > kMaxSide || t.channels < 1 ||
      t.channels > kMaxChannels) {
    return fmt::format("tensor '{}' is [B,{},{},{}]", t.name, t.height, t.width, t.channels);
  }
  const bool is_of_plan = t.dtype == DType::kF32 || (precision == "bf16" && t.dtype == DType::kBF16) ||
                          (precision == "int8" && is_whole(t));
  if (!is_of_plan) {
    return fmt::format("tensor '{}' holds {} in a plan in {}", t.name, dtype_name(t.dtype), precision);
  }
  if (!(t.scale > 0) || t.scale > 1e30F) return fmt::format("tensor '{}' has scale {}", t.name, t.scale);
  const auto least = static_cast<uint64_t>(t.height * t.width * t.channels) * dtype_size(t.dtype);
  if (t.bytes < least) return fmt::format("tensor '{}' has {} bytes, its shape needs {}", t.name, t.bytes, least);
  if (t.offset % 64 != 0) return fmt::format("tensor '{}' lies at {}, expected a multiple of 64", t.name, t.offset);
  if (t.offset > arena_bytes || t.bytes > arena_bytes - t.offset) {
    return fmt::format("tensor '{}' at {} with {} bytes leaves the arena of {}", t.name, t.offset, t.bytes,
                       arena_bytes);
  }
  return "";
}

Text check_weight(const WeightInfo& w, uint64_t expected_offset) {
  if (w.shape.empty() || w.shape.size() > 4) return fmt::format("weight '{}' has rank {}", w.name, w.shape.size());
  uint64_t count = 1;
  for (const int64_t dim : w.shape) {
    if (dim < 1 || dim > kMaxChannels) return fmt::format("weight '{}' has shape {}", w.name, to_string(w.shape));
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(dim), &count) || count > (uint64_t{1} << 40)) {
      return fmt::format("weight '{}' of shape {} is too large", w.name, to_string(w.shape));
    }
  }
  if (dtype_size(w.dtype) == 0) return fmt::format("weight '{}' holds {}", w.name, dtype_name(w.dtype));
  const uint64_t bytes = count * dtype_size(w.dtype);
  if (w.bytes != bytes) return fmt::format("weight '{}' has {} bytes, its shape needs {}", w.name, w.bytes, bytes);
  if (w.offset != expected_offset) {
    return fmt::format("weight '{}' lies at {}, expected {}, where the one before it ends", w.name, w.offset,
                       expected_offset);
  }
  return "";
}

// Checks one step; the ids were checked to exist.
class StepChecker {
 public:
  StepChecker(const Plan& plan, const Step& step) : plan_(plan), step_(step) {}

  Text check() {
    Text problem = check_shapes();
    if (problem.empty() && plan_.metadata.precision == "int8") problem = check_types();
    return problem;
  }

 private:
  Text check_shapes() {
    switch (step_.op) {
      case Op::kAssembleInput:
      case Op::kNormaliseImage:
      case Op::kPoseStem:
        return check_source();
      case Op::kConv2d:
        return check_conv();
      case Op::kConvTranspose2d:
        return check_conv_transpose();
      case Op::kMaxPool:
        return counts(1, 0) ? check_pool() : bad_counts();
      case Op::kPad:
        return check_pad();
      case Op::kChannelAffine:
        if (!counts(1, 2)) return bad_counts();
        if (!vector(0, input(0).channels) || !vector(1, input(0).channels)) return "scale or shift does not fit";
        return same_shape();
      case Op::kRelu:
        return counts(1, 0) ? same_shape() : bad_counts();
      case Op::kAdd:
        if (!counts(2, 0)) return bad_counts();
        return same_as(input(1)) ? same_shape() : "the inputs differ in shape";
      case Op::kConcat:
        return check_concat();
      case Op::kDecode:
        return check_decode();
      case Op::kConvert:
        if (plan_.metadata.precision != "int8") return "a plan in " + plan_.metadata.precision + " converts nothing";
        return counts(1, 0) ? same_shape() : bad_counts();
    }
    return fmt::format("op code {} is not known", static_cast<uint32_t>(step_.op));
  }

  // Of a plan in int8: which steps may read and write whole numbers.
  Text check_types() const {
    if (step_.op == Op::kConvert) return "";
    if (step_.op == Op::kMaxPool) {
      const bool is_same = output().dtype == input(0).dtype && output().scale == input(0).scale;
      return is_same ? "" : "the output's type or scale differs from the input's";
    }
    const bool sums_whole_numbers = weight_scales(plan_, step_) >= 0;
    for (size_t i = 0; i < step_.inputs.size(); ++i) {
      const bool is_residual = step_.has_residual && i + 1 == step_.inputs.size();
      const bool wants_whole = sums_whole_numbers && (is_residual ? is_whole(output()) : true);
      if (is_whole(input(i)) != wants_whole) return fmt::format("input {} is {}", i, dtype_name(input(i).dtype));
    }
    if (step_.output >= 0 && is_whole(output()) && !sums_whole_numbers) {
      return fmt::format("writes {}", dtype_name(output().dtype));
    }
    return "";
  }

  const TensorInfo& input(size_t i) const { return plan_.tensors[static_cast<size_t>(step_.inputs[i])]; }
  const TensorInfo& output() const { return plan_.tensors[static_cast<size_t>(step_.output)]; }
  const WeightInfo& weight(size_t i) const { return plan_.weight_infos[static_cast<size_t>(step_.weights[i])]; }

  bool counts(size_t inputs, size_t weights) const {
    return step_.inputs.size() == inputs && step_.weights.size() == weights;
  }
  Text bad_counts() const {
    return fmt::format("has {} inputs and {} weights", step_.inputs.size(), step_.weights.size());
  }
  bool fits_precision(size_t i) const {
    if (plan_.metadata.precision == "int8" && weight(i).dtype == DType::kI8) return true;
    return weight(i).dtype == (plan_.metadata.precision == "bf16" ? DType::kBF16 : DType::kF32);
  }
  // Weights, bias and the scales of i8 weights.
  Text check_weights(size_t inputs, size_t out_dim) const {
    const bool has_scales =
        !step_.weights.empty() && weight(0).dtype == DType::kI8 && plan_.metadata.precision == "int8";
    const size_t bias = step_.has_bias ? 1 : 0;
    if (!counts(inputs, 1 + bias + (has_scales ? 1 : 0))) return bad_counts();
    if (!fits_precision(0)) return bad_weights();
    const Shape& w = weight(0).shape;
    if (w.size() != 4 || w[5 - out_dim] != input(0).channels) return fmt::format("the weights are {}", to_string(w));
    if (step_.has_bias && !vector(1, w[out_dim])) return "the bias does not fit";
    if (has_scales && !vector(step_.weights.size() - 1, w[out_dim])) return "the weights' scales do not fit";
    return "";
  }
  Text bad_weights() const { return fmt::format("the weights are {}", dtype_name(weight(0).dtype)); }
  bool vector(size_t i, int64_t channels) const {
    return weight(i).dtype == DType::kF32 && weight(i).shape == Shape{channels};
  }
  bool output_is(int64_t height, int64_t width, int64_t channels) const {
    return output().height == height && output().width == width && output().channels == channels;
  }
  bool same_as(const TensorInfo& t) const {
    return t.height == input(0).height && t.width == input(0).width && t.channels == input(0).channels;
  }
  Text same_shape() const { return same_as(output()) ? "" : "the output's shape differs from the input's"; }

  Text check_source() const {
    const Metadata& m = plan_.metadata;
    if (step_.op != Op::kNormaliseImage && !(step_.sigma_px > 0 && step_.sigma_px < 1e6)) {
      return fmt::format("sigma is {}", step_.sigma_px);
    }
    if (step_.op == Op::kPoseStem) {
      if (!counts(0, 1)) return bad_counts();
      const Shape& w = weight(0).shape;
      if (weight(0).dtype != DType::kF32) return bad_weights();
      if (w.size() != 4 || w[2] != m.joints) return fmt::format("the weights are {}", to_string(w));
      return check_filter(m.height, m.width, w[0], w[1], w[3]);
    }
    if (!counts(0, 0)) return bad_counts();
    const int64_t channels = step_.op == Op::kAssembleInput ? 3 + m.joints : 3;
    return output_is(m.height, m.width, channels) ? "" : "the output's shape differs from the crop's";
  }

  Text check_filter(int64_t height, int64_t width, int64_t kh, int64_t kw, int64_t channels) const {
    for (const int32_t pad : step_.pads) {
      if (pad < 0 || pad > 1024) return fmt::format("padding {}", pad);
    }
    if (step_.stride < 1 || step_.stride > 64 || kh < 1 || kw < 1) return fmt::format("stride {}", step_.stride);
    const int64_t padded_height = height + step_.pads[0] + step_.pads[1];
    const int64_t padded_width = width + step_.pads[2] + step_.pads[3];
    if (padded_height < kh || padded_width < kw) return "the window is larger than the input";
    const int64_t out_height = (padded_height - kh) / step_.stride + 1;
    const int64_t out_width = (padded_width - kw) / step_.stride + 1;
    if (output_is(out_height, out_width, channels)) return "";
    return fmt::format("the output is [B,{},{},{}], expected [B,{},{},{}]", output().height, output().width,
                       output().channels, out_height, out_width, channels);
  }
  Text check_window(int64_t kh, int64_t kw, int64_t channels) const {
    return check_filter(input(0).height, input(0).width, kh, kw, channels);
  }

  Text check_pool() const {
    for (const int32_t pad : step_.pads) {
      if (pad >= step_.kernel) return fmt::format("padding {} for a window of {}", pad, step_.kernel);
    }
    return check_window(step_.kernel, step_.kernel, input(0).channels);
  }

  Text check_conv() const {
    if (Text problem = check_weights(step_.has_residual ? 2 : 1, 3); !problem.empty()) return problem;
    const Shape& w = weight(0).shape;
    if (step_.has_residual && (input(1).height != output().height || input(1).width != output().width ||
                               input(1).channels != output().channels)) {
      return "the residual's shape differs from the output's";
    }
    return check_window(w[0], w[1], w[3]);
  }

  Text check_conv_transpose() const {
    if (Text problem = check_weights(1, 2); !problem.empty()) return problem;
    const Shape& w = weight(0).shape;
    if (step_.stride < 1 || step_.stride > w[0] || step_.stride > w[1]) return fmt::format("stride {}", step_.stride);
    return output_is(input(0).height * step_.stride, input(0).width * step_.stride, w[2])
               ? ""
               : "the output's shape does not fit the stride";
  }

  Text check_pad() const {
    if (!counts(1, 0)) return bad_counts();
    for (const int32_t pad : step_.pads) {
      if (pad < 0 || pad > 1024) return fmt::format("padding {}", pad);
    }
    return output_is(input(0).height + step_.pads[0] + step_.pads[1], input(0).width + step_.pads[2] + step_.pads[3],
                     input(0).channels)
               ? ""
               : "the output's shape does not fit the padding";
  }

  Text check_concat() const {
    if (step_.inputs.empty() || !step_.weights.empty()) return bad_counts();
    int64_t channels = 0;
    for (size_t i = 0; i < step_.inputs.size(); ++i) {
      if (input(i).height != output().height || input(i).width != output().width) return "heights or widths differ";
      channels += input(i).channels;
    }
    return channels == output().channels ? "" : "the channels do not add up";
  }

  Text check_decode() const {
    if (!counts(1, 0)) return bad_counts();
    if (!(step_.factor > 0 && step_.factor < 1e6)) return fmt::format("factor {}", step_.factor);
    if (input(0).dtype != DType::kF32) return "the logits are not f32";
    return input(0).channels == plan_.metadata.joints ? "" : "the logits' channels differ from the joints";
  }

  const Plan& plan_;
  const Step& step_;
};

Text check_step(const Plan& plan, const Step& step, std::vector<bool>& written) {
  for (const int32_t id : step.inputs) {
    if (id < 0 || static_cast<size_t>(id) >= plan.tensors.size()) return fmt::format("tensor id {}", id);
    if (!written[static_cast<size_t>(id)]) return fmt::format("reads tensor {} before a step wrote it", id);
  }
  for (const int32_t id : step.weights) {
    if (id < 0 || static_cast<size_t>(id) >= plan.weight_infos.size()) return fmt::format("weight id {}", id);
  }
  const bool has_output = step.op != Op::kDecode;
  if (has_output) {
    if (step.output < 0 || static_cast<size_t>(step.output) >= plan.tensors.size()) {
      return fmt::format("output tensor id {}", step.output);
    }
    if (written[static_cast<size_t>(step.output)]) return fmt::format("writes tensor {} a second time", step.output);
  } else if (step.output != -1) {
    return fmt::format("output tensor id {}, expected -1", step.output);
  }
  Text problem = StepChecker(plan, step).check();
  if (problem.empty() && has_output) written[static_cast<size_t>(step.output)] = true;
  return problem;
}

// A choice must be one that the step can follow on some CPU.
Text check_choice(const Plan& plan, const StepChoice& entry) {
  const Choice& choice = entry.choice;
  if (choice_name(choice).empty()) return fmt::format("method {} is not known", static_cast<uint32_t>(choice.method));
  if (entry.step < 0 || static_cast<size_t>(entry.step) >= plan.steps.size()) {
    return fmt::format("a choice for step {} of {}", entry.step, plan.steps.size());
  }
  const Step& step = plan.steps[static_cast<size_t>(entry.step)];
  const bool is_convolution = step.op == Op::kConv2d || step.op == Op::kConvTranspose2d;
  if (!is_convolution) return fmt::format("a choice for step {}, which is {}", entry.step, op_name(step.op));
  const Shape& w = plan.weight_infos[static_cast<size_t>(step.weights[0])].shape;
  const auto is_filter = [&](Op op, int64_t side, int32_t stride) {
    return step.op == op && w[0] == side && w[1] == side && step.stride == stride;
  };
  constexpr uint32_t kLargestTile = 6;
  const auto is_tile = [&](uint32_t side) { return side >= 2 && side <= kLargestTile; };
  bool fits = choice.tile_height == 0 && choice.tile_width == 0;
  switch (choice.method) {
    case Method::kOneDnn:
      break;
    case Method::kOneDnnWinograd:
      fits = fits && is_filter(Op::kConv2d, 3, 1);
      break;
    case Method::kOwnPointwise:
      fits = fits && is_filter(Op::kConv2d, 1, 1) && step.pads == std::array<int32_t, 4>{};
      break;
    case Method::kOwnWinograd:
      fits = is_tile(choice.tile_height) && is_tile(choice.tile_width) &&
             (is_filter(Op::kConv2d, 3, 1) || is_filter(Op::kConv2d, 3, 2) || is_filter(Op::kConvTranspose2d, 4, 2));
      break;
  }
  if (fits) return "";
  return fmt::format("{} ({} {}) cannot be computed as {}", step.name, op_name(step.op), to_string(w),
                     choice_name(choice));
}

Violation check_tunings(const Plan& plan) {
  constexpr int64_t kMost = 1024;  // persons of a session, threads
  size_t index = 0;
  int64_t last_batch = 0;
  for (const Tuning& tuning : plan.tunings) {
    const auto violation = [&](Text text) { return Violation{RecordKind::kTuning, index, std::move(text)}; };
    if (plan.metadata.target != "cpu" || plan.metadata.cpu_features.empty()) {
      return violation("choices in a plan that names no CPU");
    }
    if (tuning.batch <= last_batch || tuning.batch > kMost) {
      return violation(fmt::format("choices for a batch of {} after {}", tuning.batch, last_batch));
    }
    if (tuning.threads < 1 || tuning.threads > kMost) return violation(fmt::format("{} threads", tuning.threads));
    last_batch = tuning.batch;
    ++index;
    int32_t last_step = -1;
    for (const StepChoice& entry : tuning.choices) {
      Text text = check_choice(plan, entry);
      if (text.empty() && entry.step <= last_step) text = fmt::format("step {} after {}", entry.step, last_step);
      if (!text.empty()) return violation(std::move(text));
      last_step = entry.step;
      ++index;
    }
  }
  return {};
}

}  // namespace

Violation validate(const Plan& plan) {
  if (Text text = check_metadata(plan.metadata, plan.arena_bytes); !text.empty()) {
    return {RecordKind::kMetadata, 0, std::move(text)};
  }
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    Text text = check_tensor(plan.tensors[i], plan.arena_bytes, plan.metadata.precision);
    if (!text.empty()) return {RecordKind::kTensor, i, std::move(text)};
  }
  uint64_t data_end = 0;
  for (size_t i = 0; i < plan.weight_infos.size(); ++i) {
    Text text = check_weight(plan.weight_infos[i], data_end);
    data_end = align_up(data_end + plan.weight_infos[i].bytes);
    if (!text.empty()) return {RecordKind::kWeight, i, std::move(text)};
  }
  std::vector<bool> written(plan.tensors.size(), false);
  int decodes = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    Text text = check_step(plan, step, written);
    if (!text.empty()) {
      return {RecordKind::kStep, i, fmt::format("step '{}' ({}): {}", step.name, op_name(step.op), text)};
    }
    if (step.op == Op::kDecode) ++decodes;
  }
  if (decodes != 1) return {RecordKind::kMetadata, 0, fmt::format("{} decoding steps, expected 1", decodes)};
  for (size_t i = 0; i < plan.kept.size(); ++i) {
    const int32_t id = plan.kept[i].tensor;
    if (id < 0 || static_cast<size_t>(id) >= plan.tensors.size() || !written[static_cast<size_t>(id)]) {
      return {RecordKind::kKept, i, fmt::format("kept tensor '{}' has id {}", plan.kept[i].name, id)};
    }
  }
  return check_tunings(plan);
}

}  // namespace posefix::plan

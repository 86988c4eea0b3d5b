#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "compiler/int8/quantisation.h"

namespace posefix::compiler {
namespace {

using plan::Op;
using plan::Step;
using plan::TensorInfo;

constexpr double kLargestI8 = 127;
constexpr double kLargestU8 = 255;

bool is_convolution(const Step& step) { return step.op == Op::kConv2d || step.op == Op::kConvTranspose2d; }

size_t at(int32_t id) { return static_cast<size_t>(id); }

bool is_whole(const TensorInfo& t) { return t.dtype != DType::kF32; }

// Adds to the step's bias (made if there is none) without touching a weight that others may read.
void shift_bias(Program& program, Step& step, const std::vector<float>& shift) {
  Tensor bias(DType::kF32, {static_cast<int64_t>(shift.size())});
  const std::span<float> values = bias.mutable_f32();
  std::copy(shift.begin(), shift.end(), values.begin());
  if (step.has_bias) {
    const Tensor old = program.plan.values(step.weights[1]);
    for (size_t c = 0; c < values.size(); ++c) values[c] += old.f32()[c];
  }
  const int32_t id = program.add_weight(step.name + "/bias", std::move(bias));
  if (step.has_bias) {
    step.weights[1] = id;
  } else {
    step.weights.insert(step.weights.begin() + 1, id);
    step.has_bias = true;
  }
}

// Which tensors hold whole numbers, then the steps that way.
class Quantiser {
 public:
  Quantiser(const Program& program, const Quantisation& quantisation)
      : old_(program), quantisation_(quantisation), result_(program) {
    const std::vector<bool> is_signed = signed_tensors(old_.plan);
    sums_whole_.assign(old_.plan.steps.size(), false);
    for (const size_t s : quantisable_steps(old_.plan)) {
      const double range = quantisation.largest[at(old_.plan.steps[s].inputs[0])];
      sums_whole_[s] = !quantisation.in_f32[s] && range > 0;
    }
    choose_types();
    for (size_t t = 0; t < holds_whole_.size(); ++t) {
      if (holds_whole_[t]) set_range(result_.plan.tensors[t], is_signed[t], range_of(t));
    }
  }

  Program run() {
    result_.plan.steps.clear();
    for (size_t s = 0; s < old_.plan.steps.size(); ++s) rewrite(s);
    result_.plan.metadata.precision = "int8";
    drop_unused_weights();
    return std::move(result_);
  }

 private:
  // Readers first: a tensor holds whole numbers if its step can write them and anybody wants them.
  void choose_types() {
    const plan::Plan& plan = old_.plan;
    std::vector<bool> can_be_whole(plan.tensors.size(), false);
    pool_of_.assign(plan.tensors.size(), -1);
    for (size_t s = 0; s < plan.steps.size(); ++s) {
      const Step& step = plan.steps[s];
      if (step.output < 0) continue;
      if (step.op == Op::kMaxPool) pool_of_[at(step.output)] = step.inputs[0];
      const bool passes_on = step.op == Op::kMaxPool && can_be_whole[at(step.inputs[0])];
      can_be_whole[at(step.output)] = passes_on || (sums_whole_[s] && quantisation_.largest[at(step.output)] > 0);
    }
    holds_whole_.assign(plan.tensors.size(), false);
    std::vector<bool> is_wanted(plan.tensors.size(), false);
    for (size_t s = plan.steps.size(); s-- > 0;) {
      const Step& step = plan.steps[s];
      const bool out_is_whole = step.output >= 0 && can_be_whole[at(step.output)] && is_wanted[at(step.output)];
      if (out_is_whole) holds_whole_[at(step.output)] = true;
      for (size_t i = 0; i < step.inputs.size(); ++i) {
        if (wants_whole(s, i, out_is_whole)) is_wanted[at(step.inputs[i])] = true;
      }
    }
  }

  bool wants_whole(size_t s, size_t input, bool out_is_whole) const {
    const Step& step = old_.plan.steps[s];
    if (step.op == Op::kMaxPool) return out_is_whole;
    if (!sums_whole_[s]) return false;
    const bool is_residual = step.has_residual && input + 1 == step.inputs.size();
    return !is_residual || out_is_whole;
  }

  // A pool keeps the scale of what it reads.
  double range_of(size_t tensor) const {
    int32_t id = static_cast<int32_t>(tensor);
    while (pool_of_[at(id)] >= 0 && holds_whole_[at(pool_of_[at(id)])]) id = pool_of_[at(id)];
    return quantisation_.largest[at(id)];
  }

  void rewrite(size_t s) {
    Step step = old_.plan.steps[s];
    const bool out_is_whole = step.output >= 0 && holds_whole_[at(step.output)];
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      step.inputs[i] = in_type(step.inputs[i], wants_whole(s, i, out_is_whole));
    }
    if (sums_whole_[s]) {
      if (!quantisation_.bias_shift[s].empty()) shift_bias(result_, step, quantisation_.bias_shift[s]);
      quantise_weights(result_, step);
    }
    result_.plan.steps.push_back(std::move(step));
  }

  // The tensor itself, or a conversion of it that is made where it is first read.
  int32_t in_type(int32_t id, bool whole) {
    if (holds_whole_[at(id)] == whole) return id;
    const auto [entry, is_new] = converted_.try_emplace(id, 0);
    if (!is_new) return entry->second;
    const TensorInfo from = result_.plan.tensors[at(id)];
    Step step;
    step.op = Op::kConvert;
    step.name = from.name + (whole ? "/int8" : "/f32");
    step.inputs = {id};
    step.output = result_.add_tensor(step.name, from.height, from.width, from.channels);
    if (whole) {
      const std::vector<bool> is_signed = signed_tensors(old_.plan);
      set_range(result_.plan.tensors[at(step.output)], is_signed[at(id)], quantisation_.largest[at(id)]);
    }
    entry->second = step.output;
    result_.plan.steps.push_back(std::move(step));
    return entry->second;
  }

  void drop_unused_weights() {
    std::vector<int32_t> fresh(result_.plan.weights.size(), -1);
    Program kept;
    for (Step& step : result_.plan.steps) {
      for (int32_t& id : step.weights) {
        if (fresh[at(id)] < 0) {
          fresh[at(id)] = kept.add_weight(result_.plan.weight_infos[at(id)].name, result_.plan.weights[at(id)]);
        }
        id = fresh[at(id)];
      }
    }
    result_.plan.weights = std::move(kept.plan.weights);
    result_.plan.weight_infos = std::move(kept.plan.weight_infos);
  }

  const Program& old_;
  const Quantisation& quantisation_;
  Program result_;
  std::vector<bool> sums_whole_;   // by step
  std::vector<bool> holds_whole_;  // by tensor of the old program
  std::vector<int32_t> pool_of_;   // by tensor: what the max pool that writes it reads, or -1
  std::map<int32_t, int32_t> converted_;
};

}  // namespace

std::vector<size_t> quantisable_steps(const plan::Plan& plan) {
  std::vector<bool> is_input(plan.tensors.size(), false);
  for (const Step& step : plan.steps) {
    const bool is_source = step.op == Op::kAssembleInput || step.op == Op::kNormaliseImage || step.op == Op::kPoseStem;
    if (is_source) is_input[at(step.output)] = true;
  }
  std::vector<size_t> steps;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    const Step& step = plan.steps[s];
    if (!is_convolution(step) || is_input[at(step.inputs[0])]) continue;
    const Shape& w = plan.weight_infos[at(step.weights[0])].shape;
    // The one form of a transposed convolution that becomes plain ones.
    const bool has_phases = w[0] == 4 && w[1] == 4 && step.stride == 2;
    if (step.op == Op::kConv2d || has_phases) steps.push_back(s);
  }
  return steps;
}

std::vector<bool> signed_tensors(const plan::Plan& plan) {
  std::vector<bool> is_signed(plan.tensors.size(), true);
  for (const Step& step : plan.steps) {
    if (step.output < 0) continue;
    const bool is_rectified = step.relu || step.op == Op::kRelu;
    const bool passes_on = step.op == Op::kMaxPool && !is_signed[at(step.inputs[0])];
    is_signed[at(step.output)] = !is_rectified && !passes_on;
  }
  return is_signed;
}

void set_range(TensorInfo& tensor, bool is_signed, double largest) {
  constexpr uint64_t kLine = 64;
  PFX_CHECK(!is_whole(tensor));
  tensor.dtype = is_signed ? DType::kI8 : DType::kU8;
  tensor.scale = static_cast<float>(largest / (is_signed ? kLargestI8 : kLargestU8));
  tensor.bytes = (tensor.bytes / sizeof(float) + kLine - 1) / kLine * kLine;
}

void quantise_weights(Program& program, Step& step) {
  const Tensor values = program.plan.values(step.weights[0]);
  const Shape& shape = values.shape();
  const bool is_transposed = step.op == Op::kConvTranspose2d;
  const auto channels = static_cast<size_t>(is_transposed ? shape[2] : shape[3]);
  const auto repeat = static_cast<size_t>(is_transposed ? shape[3] : 1);
  const std::span<const float> from = values.f32();
  std::vector<float> largest(channels, 0.0F);
  for (size_t i = 0; i < from.size(); ++i) {
    float& value = largest[i / repeat % channels];
    value = std::max(value, std::fabs(from[i]));
  }
  Tensor scales(DType::kF32, {static_cast<int64_t>(channels)});
  for (size_t c = 0; c < channels; ++c) {
    const auto scale = static_cast<float>(double{largest[c]} / kLargestI8);
    scales.mutable_f32()[c] = scale > 0 ? scale : 1.0F;
  }
  Tensor stored(DType::kI8, shape);
  auto* to = reinterpret_cast<int8_t*>(stored.mutable_bytes().data());
  const std::span<const float> factors = scales.f32();
  for (size_t i = 0; i < from.size(); ++i) {
    const double code = std::nearbyint(double{from[i]} / double{factors[i / repeat % channels]});
    to[i] = static_cast<int8_t>(std::clamp(code, -kLargestI8, kLargestI8));
  }
  const std::string name = program.plan.weight_infos[at(step.weights[0])].name;
  step.weights[0] = program.add_weight(name + "/int8", std::move(stored));
  step.weights.push_back(program.add_weight(name + "/scales", std::move(scales)));
}

Program quantise(const Program& program, const Quantisation& quantisation) {
  return Quantiser(program, quantisation).run();
}

}  // namespace posefix::compiler

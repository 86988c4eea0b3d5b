#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu {
namespace {

using dnnl::algorithm;

// The type of the weights that an input of this type is multiplied with.
Type weight_type(const Desc& source) {
  const auto type = static_cast<Type>(source.data.data_type);
  return type == Type::u8 ? Type::s8 : type;
}

Desc any_weights(const ConvSpec& spec, const Desc& source) {
  return {{spec.out_channels, spec.in_channels, spec.kernel_height, spec.kernel_width}, weight_type(source), Tag::any};
}

// Row (or column) of the 4x4 filter that tap j of an output phase uses; pads (1,0) for phase 0, (0,1) for phase 1.
// Output 2i+phase takes input i' through k = 2i + phase + 1 - 2i'.
int64_t filter_row(int phase, int64_t j) { return phase == 0 ? 3 - 2 * j : 2 - 2 * j; }

// One phase's [2,2,in,out] out of [4,4,out,in].
template <typename Value>
void phase_weights(const Value* all, int64_t in, int64_t out, int phase, Value* result) {
  constexpr int64_t kTogether = 16;  // rows read side by side, so that whole cache lines are written
  for (int64_t tap = 0; tap < 4; ++tap) {
    const int64_t ky = filter_row(phase / 2, tap / 2);
    const int64_t kx = filter_row(phase % 2, tap % 2);
    const Value* from = all + (ky * 4 + kx) * out * in;
    Value* to = result + tap * in * out;
    for (int64_t first = 0; first < out; first += kTogether) {
      const int64_t last = std::min(out, first + kTogether);
      for (int64_t i = 0; i < in; ++i) {
        for (int64_t o = first; o < last; ++o) to[i * out + o] = from[o * in + i];
      }
    }
  }
}

}  // namespace

WeightStore::WeightStore(std::shared_ptr<const plan::Plan> plan, dnnl::engine engine)
    : plan_(std::move(plan)), engine_(std::move(engine)), stream_(engine_) {}

dnnl::primitive_attr WeightStore::attributes_of(const ConvSpec& spec) const {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops post_ops;
  if (spec.is_whole) {
    std::vector<float> factors;
    const Tensor scales = plan_->values(spec.scales);
    for (const float scale : scales.f32()) factors.push_back(spec.in_scale * scale / spec.out_scale);
    attributes.set_output_scales(1 << 1, factors);
    if (spec.residual) post_ops.append_sum(spec.residual_scale / spec.out_scale, spec.residual_type);
  } else if (spec.residual) {
    post_ops.append_sum(1.0F);
  }
  if (spec.relu) post_ops.append_eltwise(1.0F, algorithm::eltwise_relu, 0.0F, 0.0F);
  attributes.set_post_ops(post_ops);
  return attributes;
}

ConvPrimitive WeightStore::primitive(const ConvSpec& spec, algorithm algorithm, const Desc& source, const Desc& weights,
                                     const Desc& destination) const {
  const Desc bias = spec.bias >= 0 ? Desc({spec.out_channels}, Type::f32, Tag::a) : Desc();
  const dnnl::convolution_forward::desc description(dnnl::prop_kind::forward_inference, algorithm, source, weights,
                                                    bias, destination, {spec.stride, spec.stride},
                                                    {spec.pads[0], spec.pads[2]}, {spec.pads[1], spec.pads[3]});
  // allow_empty: "not available" is an answer here, not an error.
  return {description, attributes_of(spec), engine_, true};
}

ConvPrimitive WeightStore::choose(const ConvSpec& spec, const Desc& source, const Desc& destination) {
  ConvPrimitive result;
  const auto attempt = [&](algorithm algorithm, const Desc& weights) {
    result = primitive(spec, algorithm, source, weights, destination);
    return static_cast<bool>(result) && !is_slow(result.impl_info_str());
  };
  const auto [begin, end] = kept_.equal_range({spec.weights, spec.phase});
  for (auto kept = begin; kept != end; ++kept) {
    if (attempt(algorithm::convolution_direct, kept->second.get_desc())) return result;
  }
  const Desc any = any_weights(spec, source);
  if (attempt(algorithm::convolution_direct, any)) return result;
  if (!attempt(algorithm::convolution_auto, any) && !result) {
    throw failed("oneDNN has no implementation for a {}x{} convolution of {} to {} channels", spec.kernel_height,
                 spec.kernel_width, spec.in_channels, spec.out_channels);
  }
  return result;
}

ConvPrimitive WeightStore::winograd(const ConvSpec& spec, const Desc& source, const Desc& destination) const {
  const ConvPrimitive result =
      primitive(spec, algorithm::convolution_winograd, source, any_weights(spec, source), destination);
  return result && !is_slow(result.impl_info_str()) ? result : ConvPrimitive();
}

dnnl::memory WeightStore::reordered(const Key& key, const dnnl::memory& plain, const Desc& wanted) {
  dnnl::memory memory(wanted, engine_, blocks_.add(wanted.get_size()));
  dnnl::memory source = plain;
  dnnl::reorder(source, memory).execute(stream_, source, memory);
  stream_.wait();
  kept_.emplace(key, memory);
  return memory;
}

// A plan in bf16 or int8 that runs in f32 is widened here: not every f32 format can be made out of them.
Tensor WeightStore::source_values(const ConvSpec& spec, bool as_f32) {
  if (latest_.first != spec.weights) latest_ = {spec.weights, plan_->values(spec.weights)};
  const Tensor& values = latest_.second;
  if (!as_f32) return values;
  if (values.dtype() != DType::kI8) return values.to_f32();
  const std::span<const int8_t> stored = values.as<int8_t>();
  const Tensor scale_values = plan_->values(spec.scales);
  const std::span<const float> scales = scale_values.f32();
  // [kh,kw,in,out], or [kh,kw,out,in] of a transposed convolution's phases.
  const auto repeat = static_cast<size_t>(spec.phase >= 0 ? values.shape()[3] : 1);
  Tensor wide(DType::kF32, values.shape());
  const std::span<float> out = wide.mutable_f32();
  for (size_t i = 0; i < stored.size(); ++i) {
    out[i] = static_cast<float>(stored[i]) * scales[i / repeat % scales.size()];
  }
  return wide;
}

Tensor WeightStore::plain_values(const ConvSpec& spec, bool as_f32) {
  Tensor all = source_values(spec, as_f32);
  if (spec.phase < 0) return all;
  const size_t bytes = all.bytes().size() / 4;
  const std::shared_ptr<std::byte[]> memory = allocate(bytes);
  const auto take = [&]<typename Value>(const Value*) {
    phase_weights(reinterpret_cast<const Value*>(all.bytes().data()), spec.in_channels, spec.out_channels, spec.phase,
                  reinterpret_cast<Value*>(memory.get()));
  };
  switch (dtype_size(all.dtype())) {
    case 1:
      take(static_cast<const uint8_t*>(nullptr));
      break;
    case 2:
      take(static_cast<const uint16_t*>(nullptr));
      break;
    default:
      take(static_cast<const uint32_t*>(nullptr));
  }
  return Tensor(all.dtype(), {2, 2, spec.in_channels, spec.out_channels}, {memory.get(), bytes}, memory);
}

dnnl::memory WeightStore::weights(const ConvSpec& spec, const Desc& wanted) {
  const Key key{spec.weights, spec.phase};
  const auto [begin, end] = kept_.equal_range(key);
  for (auto kept = begin; kept != end; ++kept) {
    if (kept->second.get_desc() == wanted) return kept->second;
  }
  const Tensor values = plain_values(spec, static_cast<Type>(wanted.data.data_type) == Type::f32);
  const Desc plain({spec.out_channels, spec.in_channels, spec.kernel_height, spec.kernel_width},
                   type_of(values.dtype()), Tag::hwio);
  dnnl::memory memory =
      reordered(key, dnnl::memory(plain, engine_, const_cast<std::byte*>(values.bytes().data())), wanted);
  plan_->weights[static_cast<size_t>(spec.weights)].release_pages();
  return memory;
}

bool WeightStore::has_packed(const blocked::Winograd* form, const ConvSpec& spec) const {
  return packed_.contains({{spec.weights, spec.phase}, form});
}

const void* WeightStore::packed(const blocked::Kernels& kernels, const blocked::Winograd* form, const ConvSpec& spec) {
  const void*& kept = packed_[{{spec.weights, spec.phase}, form}];
  if (kept != nullptr) return kept;
  const Tensor plain = plain_values(spec, true);
  const int64_t products = form != nullptr ? blocked::products(*form, spec.stride) : 1;
  const auto count = static_cast<size_t>(products * spec.in_channels * spec.out_channels);
  void* values = blocks_.add(count * static_cast<size_t>(kernels.value_bytes));
  if (form != nullptr) {
    blocked::pack_winograd(kernels, *form, spec.stride, spec.in_channels, spec.out_channels, plain.f32().data(),
                           values);
  } else {
    blocked::pack_pointwise(kernels, spec.in_channels, spec.out_channels, plain.f32().data(),
                            static_cast<float*>(values));
  }
  plan_->weights[static_cast<size_t>(spec.weights)].release_pages();
  return kept = values;
}

dnnl::memory WeightStore::bias(const ConvSpec& spec) {
  if (spec.bias < 0) return {};
  if (!spec.is_whole) return vector(spec.bias);
  const Tensor bias = plan_->values(spec.bias);
  const Tensor weight_scales = plan_->values(spec.scales);
  const std::span<const float> values = bias.f32();
  const std::span<const float> scales = weight_scales.f32();
  dnnl::memory memory({{spec.out_channels}, Type::f32, Tag::a}, engine_);
  auto* sums = static_cast<float*>(memory.get_data_handle());
  for (size_t c = 0; c < values.size(); ++c) sums[c] = values[c] / (spec.in_scale * scales[c]);
  return memory;
}

dnnl::memory WeightStore::vector(int32_t id) {
  const Key key{id, -1};
  const auto kept = kept_.find(key);
  if (kept != kept_.end()) return kept->second;
  const Tensor tensor = plan_->values(id);
  const std::span<const float> values = tensor.f32();
  dnnl::memory memory({{static_cast<int64_t>(values.size())}, Type::f32, Tag::a}, engine_);
  std::memcpy(memory.get_data_handle(), values.data(), values.size_bytes());
  kept_.emplace(key, memory);
  return memory;
}

dnnl::memory WeightStore::transposed_weights(int32_t id, const Desc& wanted) {
  const Key key{id, -1};
  const auto [begin, end] = kept_.equal_range(key);
  for (auto kept = begin; kept != end; ++kept) {
    if (kept->second.get_desc() == wanted) return kept->second;
  }
  const Shape& s = plan_->weight_infos[static_cast<size_t>(id)].shape;  // [kh,kw,out,in]
  ConvSpec spec;
  spec.weights = id;
  const Tensor values = source_values(spec, static_cast<Type>(wanted.data.data_type) == Type::f32);
  const Desc plain({s[2], s[3], s[0], s[1]}, type_of(values.dtype()), {s[3], 1, s[1] * s[2] * s[3], s[2] * s[3]});
  return reordered(key, dnnl::memory(plain, engine_, const_cast<std::byte*>(values.bytes().data())), wanted);
}

void WeightStore::release() {
  latest_ = {-1, {}};
  plan_->release_pages();
}

}  // namespace posefix::runtime::cpu

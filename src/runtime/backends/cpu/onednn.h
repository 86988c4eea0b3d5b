// oneDNN's objects as the cpu backend uses them: primitives that run without allocating, weights kept once per format.
//
// Only this folder includes oneDNN. Its errors become posefix::Error (failed).
#pragma once

#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "plan/plan.h"
#include "runtime/backends/cpu/aligned.h"
#include "runtime/backends/cpu/blocked/convolution.h"
#include "runtime/backends/cpu/kernels.h"

namespace posefix::runtime::cpu {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

// True if oneDNN may use these instructions here (DNNL_MAX_CPU_ISA masks them).
bool has_instructions(dnnl::cpu_isa isa);

Type type_of(DType dtype);
// nhwc or nChw8c/nChw16c as kernels.h sees it. PFX_CHECK for other formats.
Layout layout_of(const Desc& desc);
Tag tag_of(const Layout& layout);

// A primitive with its memories bound.
class Call {
 public:
  void set(const dnnl::primitive& primitive, const std::vector<std::pair<int, dnnl::memory>>& memories);
  void run(dnnl::stream& stream) const;

 private:
  dnnl::primitive primitive_;
  std::vector<dnnl::memory> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
};

// What a convolution is to compute. Weights come from the plan as [kh,kw,in,out], or as one phase of a transposed
// convolution's [kh,kw,out,in].
struct ConvSpec {
  int32_t weights = 0;  // id in the plan
  int32_t bias = -1;
  int phase = -1;  // 0..3: 2 * row + column of a 4x4 stride 2 transposed convolution; -1: a plain convolution
  int64_t batch = 1;
  int64_t in_channels = 0, out_channels = 0;
  int64_t kernel_height = 1, kernel_width = 1;
  int64_t in_height = 0, in_width = 0, out_height = 0, out_width = 0;
  int64_t stride = 1;
  std::array<int64_t, 4> pads{};  // top, bottom, left, right
  bool relu = false;
  bool residual = false;  // the destination holds it
  int32_t scales = -1;    // id in the plan: of i8 weights
  // Sums whole numbers: result = (in_scale * scales * sum + bias + residual_scale * residual) / out_scale.
  bool is_whole = false;
  float in_scale = 1, out_scale = 1, residual_scale = 1;
  Type residual_type = Type::undef;
};

using ConvPrimitive = dnnl::convolution_forward::primitive_desc;

// The plan's weights in the formats that the chosen implementations want, shared by all batch sizes and by all sessions
// of the plan. Whoever builds a network holds mutex() meanwhile; a built network only reads its weights.
class WeightStore {
 public:
  WeightStore(std::shared_ptr<const plan::Plan> plan, dnnl::engine engine);
  std::mutex& mutex() { return mutex_; }

  // The fastest implementation that is known for the spec; `source` and `destination` may be of format any.
  ConvPrimitive choose(const ConvSpec& spec, const Desc& source, const Desc& destination);
  // Winograd's, where oneDNN has it for these formats; empty elsewhere.
  ConvPrimitive winograd(const ConvSpec& spec, const Desc& source, const Desc& destination) const;
  dnnl::memory weights(const ConvSpec& spec, const Desc& wanted);
  // Empty without a bias. In units of the sum where whole numbers are summed: oneDNN adds it before it scales.
  dnnl::memory bias(const ConvSpec& spec);
  // A weight [n] as it stands in the plan.
  dnnl::memory vector(int32_t id);
  // Packed for own kernels: for Winograd's form, or of a 1x1 convolution if it is null.
  const void* packed(const blocked::Kernels& kernels, const blocked::Winograd* form, const ConvSpec& spec);
  bool has_packed(const blocked::Winograd* form, const ConvSpec& spec) const;
  // Gives back what was only needed while weights were put into formats: to be called when a network is built.
  void release();
  // [out,in,kh,kw] of a transposed convolution that has no phases here.
  dnnl::memory transposed_weights(int32_t id, const Desc& wanted);

 private:
  using Key = std::pair<int32_t, int>;  // weight id, phase
  dnnl::primitive_attr attributes_of(const ConvSpec& spec) const;
  // Empty if oneDNN has none.
  ConvPrimitive primitive(const ConvSpec& spec, dnnl::algorithm algorithm, const Desc& source, const Desc& weights,
                          const Desc& destination) const;
  Tensor source_values(const ConvSpec& spec, bool as_f32);
  // [kh,kw,in,out] of the spec's convolution.
  Tensor plain_values(const ConvSpec& spec, bool as_f32);
  dnnl::memory reordered(const Key& key, const dnnl::memory& plain, const Desc& wanted);

  std::shared_ptr<const plan::Plan> plan_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::multimap<Key, dnnl::memory> kept_;
  std::map<std::pair<Key, const blocked::Winograd*>, const void*> packed_;
  std::pair<int32_t, Tensor> latest_{-1, {}};  // id and values: a transposed convolution's are needed once per phase
  BlockStore blocks_;
  std::mutex mutex_;
};

// Taken from the implementation's name: a fallback that no one should wait for.
bool is_slow(const std::string& implementation);

}  // namespace posefix::runtime::cpu

// Fills a Network: chooses formats and implementations step by step, in execution order.
//
// How a convolution is computed, by own kernels (blocked/) or oneDNN's, is choices.h's rule, or the plan's tuning.
//
// Formats: whole numbers lie in nhwc, and what a convolution makes of them. Where every channel count of the network is
// a multiple of the CPU's block (16 with AVX-512, else 8), f32 maps are blocked, otherwise nhwc; a convolution
// without a fast implementation for that gets its own formats and the maps are reordered around it.
#pragma once

#include "base/error.h"
#include "runtime/backends/cpu/network.h"

namespace posefix::runtime::cpu {

constexpr int kPhases = 4;  // of a 4x4 transposed convolution with stride 2
// Makes the spec of such a convolution the one of its phase.
void set_phase(ConvSpec& spec, int phase);

class NetworkBuilder {
 public:
  NetworkBuilder(Network& network, const plan::Plan& plan, const plan::Tuning* tuning, WeightStore& weights,
                 std::byte* arena);
  void build();

 private:
  using Value = Network::Value;

  void add(const plan::Step& step);
  void add_source(const plan::Step& step);
  void add_pose_stem(const plan::Step& step);
  void add_convolution(const plan::Step& step);
  void add_onednn_convolution(const plan::Step& step, dnnl::algorithm algorithm);
  void add_phase_wise_convolution(const plan::Step& step);
  void add_transposed(const plan::Step& step);
  void add_phases(const plan::Step& step);
  void add_max_pool(const plan::Step& step);
  void add_pad(const plan::Step& step);
  void add_element_wise(const plan::Step& step);
  void add_concat(const plan::Step& step);
  void add_convert(const plan::Step& step);
  void add_decode(const plan::Step& step);

  const plan::TensorInfo& info(int32_t id) const { return plan_.tensors[static_cast<size_t>(id)]; }
  Value& value(int32_t id) { return network_.values_[static_cast<size_t>(id)]; }
  std::byte* place(int32_t id) const { return arena_ + info(id).offset * static_cast<uint64_t>(network_.batch_); }
  // The format that the network prefers for a tensor.
  Desc preferred(int32_t id) const;
  Desc plain(int32_t id, Tag tag) const;
  // The format's name. A map of as many channels as a block holds lies in nhwc and in blocks alike; it goes by the
  // latter, for which oneDNN has the fast kernels.
  Tag format_of(const Desc& desc) const;
  // Gives the tensor its format; PFX_CHECK that it fits into its place.
  Value& set_value(int32_t id, const Desc& desc);
  // What one step of a tensor's stored numbers is worth; 1 for floats.
  float scale_of(int32_t id) const;
  // The input as one map: a tensor in phases is not.
  const Value& whole(int32_t id);

  ConvSpec spec_of(const plan::Step& step) const;
  // A fast implementation for these formats, or for other ones (the caller compares src_desc() and dst_desc()); a
  // residual fixes the result's, and so does the caller who asks for it.
  ConvPrimitive choose(const ConvSpec& spec, const Desc& source, const Desc& result, bool fixes_result = false);
  // The format in which the convolution that reads the picture wants it.
  Desc image_format(int32_t id);
  void place_residual(const Value& residual, const Value& y, Tag tag, std::vector<Call*>& calls, size_t& used);
  // The tuning's way of computing the step if it is one of the candidates, else the rule's.
  plan::Choice take_choice(const plan::Step& step, const ConvSpec& spec, const blocked::Kernels* kernels);
  // On own kernels (network_blocked.cc).
  void add_blocked_convolution(const plan::Step& step, const blocked::Kernels& kernels, const plan::Choice& choice);
  void add_blocked_phases(const plan::Step& step, const blocked::Kernels& kernels, const plan::Choice& choice);
  // For a convolution's maps; null: none.
  const blocked::Kernels* kernels_for_convolution(const plan::Step& step);
  // For maps in these formats; null: none.
  const blocked::Kernels* kernels_of(const Desc& source, const Desc& result) const;
  const float* bias_of(const ConvSpec& spec);
  const blocked::WinogradConvolution* new_winograd(const blocked::Kernels& kernels, const blocked::Winograd& form,
                                                   const ConvSpec& spec, const blocked::Convolution& convolution);
  bool is_read_by_1x1_alone(int32_t id) const;
  bool splits_into_phases(const plan::Step& step) const;

  dnnl::memory memory(const Value& v) const { return {v.desc, network_.engine_, v.data}; }
  // Memory in the scratch area; valid while the operation at hand runs.
  dnnl::memory scratch(const Desc& desc, size_t& used);
  size_t scratch_region(size_t bytes, size_t& used);
  Call& new_call();
  // `source` reordered to `wanted` in scratch memory before the step, or the source itself.
  dnnl::memory adapted(const Value& source, const Desc& wanted, std::vector<Call*>& calls, size_t& used);
  void add_reorder(dnnl::memory from, dnnl::memory to, std::vector<Call*>& calls);
  Call& convolution_call(const ConvPrimitive& chosen, const ConvSpec& spec, const dnnl::memory& source,
                         const dnnl::memory& destination, size_t& used);
  void finish(const plan::Step& step, const std::string& kernel, std::vector<Call*> calls);
  void finish(const plan::Step& step, const std::string& kernel, std::function<void(const RunContext&)> run);

  Network& network_;
  const plan::Plan& plan_;
  const plan::Tuning* tuning_;  // null: the rule alone
  WeightStore& weights_;
  std::byte* arena_;
  std::vector<plan::Choice> candidates_;            // of the step at hand, the taken one first
  int64_t block_ = 0;                               // channels of a blocked map; 0: nhwc
  const blocked::Kernels* kernels_ = nullptr;       // of blocked maps; null: none are
  const blocked::Kernels* bf16_kernels_ = nullptr;  // null: oneDNN's are better, or there is no bf16
};

}  // namespace posefix::runtime::cpu

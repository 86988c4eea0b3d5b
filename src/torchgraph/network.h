// A graph::Graph on LibTorch: any device, with autograd (training) or without (inference).
//
// Invariants: every trainable variable is a view into one flat tensor, and its gradient a view into another of the
// same layout, so that an optimiser is one loop and an all-reduce one call. Flat order: variables that decay
// (*/weights), then the other trainable ones, then frozen ones; within each by name, each padded to kFlatAlignment
// elements (the padding is zero and stays zero).
// Batch norm as TensorFlow 1's fused one: the biased batch variance normalises, the unbiased one (N/(N-1)) enters the
// moving average, which moves by 1 - decay per training forward pass.
// In a low precision convolutions and the feature maps between them are bf16 or f16; variables, their gradients, batch
// statistics, biases and everything from the logits on stay in `dtype`. Each mode has its own: a network that trains in
// a low precision is validated in `dtype`.
// blank_image: the filters' channels that read the image are zero from the start, in every import, so that exported
// weights answer the same wherever they run and whatever image they are given. Their gradients are zero too, so they
// stay so.
// Non-goals: losses and optimisers (train/), other layouts than NCHW in the interface.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "base/tensor.h"
#include "graph/graph.h"
#include "torchgraph/plan.h"
#include "torchgraph/sync_batch_norm.h"

namespace posefix::torchgraph {

inline constexpr int64_t kFlatAlignment = 16;

enum class Mode {
  kInference,  // moving statistics, no autograd
  kTraining,   // batch statistics, moving averages updated, autograd
};

struct NetworkOptions {
  std::string device = "cpu";               // see device.h
  DType dtype = DType::kF32;                // kF32 or kF64
  DType precision = DType::kF32;            // of feature maps in training: kF32 (that is, dtype), kBF16 or kF16
  DType inference_precision = DType::kF32;  // likewise in inference
  double batch_norm_decay = 0.99;
  bool channels_last = false;       // memory order of feature maps and filters; the values are the same
  std::vector<std::string> frozen;  // prefixes of variables that do not train (their batch norms use moving statistics)
  bool blank_image = false;         // the image input counts as zeros, and its weights are zero; see Network
  GatherFromProcesses gather;       // set: batch statistics are those of all processes
};

struct Variable {
  std::string name;
  at::Tensor value;         // LibTorch's layout; trainable: a leaf, view into the flat tensor
  int64_t flat_offset = 0;  // trainable and frozen ones; -1 for moving statistics
  bool trainable = false;
};

class Network {
 public:
  // Error (bad input) when a variable of the graph is missing in `weights` or has another shape or type, or when this
  // LibTorch cannot compute in the precision on the device. blank_image: likewise when something else than
  // convolutions reads the image.
  Network(graph::Graph graph, const NamedTensors& weights, const NetworkOptions& options);

  struct Inputs {
    at::Tensor image;  // [B,3,H,W] mean subtracted
    at::Tensor pose;   // [B,K,2] crop_px
    at::Tensor valid;  // [B,K]
  };
  // Values of the nodes (or graph outputs) named `wanted`, on the device, feature maps as [B,C,H,W]. Only what they
  // depend on is computed. Inputs may lie on the CPU, in any float type.
  std::vector<at::Tensor> forward(const Inputs& inputs, Mode mode, const std::vector<std::string>& wanted);

  const graph::Graph& graph() const { return graph_; }
  const at::Device& device() const { return device_; }
  const NetworkOptions& options() const { return options_; }
  const std::vector<Variable>& variables() const { return variables_; }

  const at::Tensor& flat_values() const { return flat_values_; }        // [N] trainable, then frozen
  const at::Tensor& flat_gradients() const { return flat_gradients_; }  // [N]
  int64_t decaying_count() const { return decaying_count_; }            // leading elements that decay
  int64_t trainable_count() const { return trainable_count_; }          // leading elements that train
  const at::Tensor& moving_statistics() const { return moving_; }       // [M] means and variances, flat

  // All variables in TensorFlow's names and layouts, f32 or f64 as computed.
  NamedTensors export_variables() const;
  // A flat tensor of flat_values()'s layout (Adam's m, gradients, an average) by variable name, TensorFlow's layouts,
  // trainable variables only; and back. import: Error (bad input) when one is missing or has another shape.
  NamedTensors export_flat(const at::Tensor& flat) const;
  void import_flat(const NamedTensors& tensors, at::Tensor& flat, const std::string& source) const;
  // Overwrites the variables' values. Error (bad input) as the constructor's.
  void import_variables(const NamedTensors& weights);

 private:
  void lay_out_variables();
  void find_image_filters();
  // Zeros for the image's channels of the filter `name`, if it has some. `values`: LibTorch's layout.
  void blank_image_channels(const std::string& name, const at::Tensor& values) const;
  at::Tensor flat_view(const at::Tensor& flat, int64_t offset, const Shape& stored) const;
  at::Tensor run_step(const PlanStep& step, const std::vector<at::Tensor>& values, Mode mode);

  graph::Graph graph_;
  NetworkOptions options_;
  at::Device device_;
  std::vector<Variable> variables_;               // in flat order, then moving statistics
  std::vector<int> variable_of_node_;             // by node id; -1: not a weight
  std::map<std::string, int64_t> image_filters_;  // blank_image: filters that read the image, its first channel there
  at::Tensor flat_values_;
  at::Tensor flat_gradients_;
  at::Tensor moving_;
  int64_t decaying_count_ = 0;
  int64_t trainable_count_ = 0;
  std::map<std::vector<std::string>, Plan> plans_;
};

}  // namespace posefix::torchgraph

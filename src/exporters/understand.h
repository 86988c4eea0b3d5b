// From a foreign operator graph to ours, operator by operator; used by understand() alone.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>

#include "exporters/imported_model.h"
#include "exporters/probe.h"

namespace posefix::exporters {

// A feature map of the new graph and how the foreign value of it lies.
struct FeatureMap {
  graph::NodeId node = -1;
  Layout layout = Layout::kNhwc;
};

class Understanding {
 public:
  explicit Understanding(const OpGraph& file);
  ImportedModel run();

 private:
  // Finding the parts.
  std::string output_value() const;
  std::string logits_behind(const std::string& output) const;
  std::set<std::string> depending_on(const std::string& input) const;
  const OpNode& producer(const std::string& value, const std::string& what) const;
  void name_logits(graph::NodeId logits);
  void decode(const std::string& logits, const std::string& output);

  // Feature maps: converts whatever `value` needs first.
  FeatureMap convert(const std::string& value);
  FeatureMap convert_node(const OpNode& node);
  FeatureMap convolution(const OpNode& node);
  FeatureMap transposed_convolution(const OpNode& node);
  const FeatureMap& feature(const OpNode& node, size_t input) const;
  void require_small(const OpNode& node, const std::vector<int64_t>& pads) const;
  void check_result_size(const OpNode& node, const FeatureMap& x, int64_t stride) const;
  FeatureMap batch_norm(const OpNode& node);
  FeatureMap add(const OpNode& node);
  FeatureMap bias(const OpNode& node, const FeatureMap& x, const std::string& bias_value);
  FeatureMap pad(const OpNode& node);
  FeatureMap max_pool(const OpNode& node);
  FeatureMap concat(const OpNode& node);
  FeatureMap transpose(const OpNode& node);
  FeatureMap rendering(const std::string& value, Layout layout);

  // Attributes and constants.
  std::array<int64_t, 2> strides(const OpNode& node) const;
  std::array<int64_t, 4> window_pads(const OpNode& node, const FeatureMap& x, int64_t kernel_h, int64_t kernel_w,
                                     int64_t stride) const;
  void require_layout(const OpNode& node, const FeatureMap& x) const;
  std::optional<std::string> constant_name(const std::string& value) const;
  const Tensor& constant(const OpNode& node, const std::string& value) const;
  std::vector<int64_t> constant_integers(const OpNode& node, size_t input) const;
  graph::NodeId weight(const OpNode& node, const std::string& value, const std::string& role,
                       const std::array<int, 4>& order);
  graph::NodeId emit(graph::Op op, const std::string& name, std::vector<graph::NodeId> inputs,
                     const graph::Attributes& attributes = {});
  std::string free_name(const std::string& wanted) const;
  [[noreturn]] void refuse(const OpNode& node, const std::string& what) const;

  const OpGraph& file_;
  Inputs inputs_;
  std::set<std::string> on_pose_;   // values that depend on the pose
  std::set<std::string> on_image_;  // values that depend on the picture
  std::map<std::string, FeatureMap> done_;
  std::map<std::string, graph::NodeId> weights_;  // by name in the new graph
  std::set<std::string> names_;
  ImportedModel model_;
};

}  // namespace posefix::exporters

// The shape of the whole network: inputs, rendering, trunk, decoding.
#include "exporters/understand.h"

#include <algorithm>

#include "base/error.h"

namespace posefix::exporters {

using graph::Op;

namespace {

// Operators that pass numbers on or move them, between the heat maps and their softmax.
bool only_moves(const std::string& op) {
  for (const char* name : {"Identity", "StopGradient", "Reshape", "Transpose", "Squeeze", "Flatten"}) {
    if (op == name) return true;
  }
  return false;
}

}  // namespace

Understanding::Understanding(const OpGraph& file) : file_(file), inputs_(find_inputs(file)) {
  on_pose_ = depending_on(inputs_.pose);
  on_image_ = depending_on(inputs_.image);
}

void Understanding::refuse(const OpNode& node, const std::string& what) const {
  throw bad_input("{}: node '{}' ({}): {}", file_.source, node.name, node.op, what);
}

std::set<std::string> Understanding::depending_on(const std::string& input) const {
  std::set<std::string> values{input};
  for (const OpNode& node : file_.nodes) {
    const bool depends =
        std::any_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& i) { return values.contains(i); });
    if (depends) values.insert(node.outputs.begin(), node.outputs.end());
  }
  return values;
}

const OpNode& Understanding::producer(const std::string& value, const std::string& what) const {
  const OpNode* node = file_.producer(value);
  if (node == nullptr) throw bad_input("{}: '{}' should be {}, but no node computes it", file_.source, value, what);
  return *node;
}

// The coordinates: our own and the reference's name, or the only result there is.
std::string Understanding::output_value() const {
  const auto flip = file_.metadata.find("posefix.flip");
  if (flip != file_.metadata.end() && flip->second == "true") return "coords_of_both";  // before the two are merged
  std::vector<std::string> candidates;
  for (const std::string& output : file_.outputs) {
    if (output == "mul_15" || output == "coords" || output == "coordinates") return output;
    if (on_image_.contains(output)) candidates.push_back(output);
  }
  if (candidates.size() != 1) {
    throw bad_input("{}: {} results depend on the picture, expected one (or one called mul_15, coords or coordinates)",
                    file_.source, candidates.size());
  }
  return candidates[0];
}

// The value whose softmax is taken on the way to `output`; `output` itself if there is none. A softmax that is written
// as exponentials and a sum is one of the last convolution.
std::string Understanding::logits_behind(const std::string& output) const {
  std::set<std::string> wanted{output};
  bool has_exponential = false;
  for (auto node = file_.nodes.rbegin(); node != file_.nodes.rend(); ++node) {
    if (node->outputs.empty() || !wanted.contains(node->outputs[0])) continue;
    if (node->op == "Softmax") {
      if (node->inputs.empty()) refuse(*node, "has no inputs");
      std::string value = node->inputs[0];
      for (const OpNode* before = file_.producer(value); before != nullptr && only_moves(before->op);
           before = file_.producer(value)) {
        if (before->inputs.empty()) refuse(*before, "has no inputs");
        value = before->inputs[0];
      }
      return value;
    }
    has_exponential = has_exponential || node->op == "Exp";
    if (has_exponential && (node->op == "Conv" || node->op == "Conv2D" || node->op == "BiasAdd")) {
      return node->outputs[0];
    }
    wanted.insert(node->inputs.begin(), node->inputs.end());
  }
  std::string value = output;
  for (const OpNode* node = file_.producer(value); node != nullptr && node->op == "Identity";
       node = file_.producer(value)) {
    if (node->inputs.empty()) refuse(*node, "has no inputs");
    value = node->inputs[0];
  }
  return value;
}

ImportedModel Understanding::run() {
  model_.metadata = file_.metadata;
  const Shape image{graph::kBatch, inputs_.height, inputs_.width, 3};
  done_[inputs_.image] = {model_.graph.add_input("image", {DType::kF32, image}), inputs_.layout};
  model_.graph.add_input("pose", {DType::kF32, {graph::kBatch, inputs_.joints, 2}});
  model_.graph.add_input("valid", {DType::kF32, {graph::kBatch, inputs_.joints}});
  names_ = {"image",  "pose",  "valid", "input_heatmap", "logits", "coords_heatmap_px", "spread_heatmap_px",
            "coords", "spread"};
  const std::string output = output_value();
  const std::string logits = logits_behind(output);
  decode(logits, output);
  model_.graph.verify();
  return std::move(model_);
}

// Others find the heat maps by this name, whatever the file calls them.
void Understanding::name_logits(graph::NodeId logits) {
  graph::Graph renamed;
  for (size_t i = 0; i < model_.graph.nodes().size(); ++i) {
    const graph::Node& node = model_.graph.nodes()[i];
    if (node.op == Op::kInput) {
      renamed.add_input(node.name, node.type);
    } else if (node.op == Op::kWeight) {
      renamed.add_weight(node.name, node.type.shape);
    } else {
      renamed.add(node.op, static_cast<graph::NodeId>(i) == logits ? "logits" : node.name, node.inputs, node.attrs);
    }
  }
  model_.graph = std::move(renamed);
}

void Understanding::decode(const std::string& logits, const std::string& output) {
  const FeatureMap map = convert(logits);
  name_logits(map.node);
  const Shape shape = model_.graph.node(map.node).type.shape;  // [B,h,w,K]
  if (shape.size() != 4 || shape[3] != inputs_.joints || shape[1] == 0 || inputs_.height % shape[1] != 0 ||
      inputs_.height / shape[1] != inputs_.width / shape[2] || inputs_.width % shape[2] != 0) {
    throw bad_input("{}: '{}' is {}, expected heat maps of {} joints of a whole fraction of {}x{}", file_.source,
                    logits, posefix::to_string(shape), inputs_.joints, inputs_.height, inputs_.width);
  }
  const int64_t whole_stride = inputs_.height / shape[1];
  const auto stride = static_cast<double>(whole_stride);
  if (output != logits) {
    const double factor = probe_decoding(file_, inputs_, logits, map.layout, shape[1], shape[2], output);
    if (factor != 1 && factor != stride) {
      throw bad_input("{}: output '{}' is in units of 1/{} heat-map px, expected heat-map px (1) or crop px ({})",
                      file_.source, output, factor, stride);
    }
  }
  graph::Graph& graph = model_.graph;
  const graph::NodeId coords = graph.add(Op::kSoftArgmax, "coords_heatmap_px", {map.node});
  const graph::NodeId spread = graph.add(Op::kHeatmapSpread, "spread_heatmap_px", {map.node});
  graph.add_output("coords", graph.add(Op::kScale, "coords", {coords}, {.factor = stride}));
  graph.add_output("spread", graph.add(Op::kScale, "spread", {spread}, {.factor = stride}));
  graph.add_output("logits", map.node);
}

// Depth first without recursion: a network is as deep as its layers, and a hostile one as deep as its file is long.
FeatureMap Understanding::convert(const std::string& value) {
  std::vector<std::string> waiting{value};
  while (!waiting.empty()) {
    const std::string current = waiting.back();
    if (done_.contains(current)) {
      waiting.pop_back();
      continue;
    }
    const OpNode& node = producer(current, "a feature map");
    bool ready = true;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::string& input = node.inputs[i];
      if (node.op == "Conv2DBackpropInput" && i == 0) continue;  // its size, taken from a shape
      if (on_image_.contains(input) && !done_.contains(input)) {
        waiting.push_back(input);
        ready = false;
      }
    }
    if (!ready) continue;
    if (!on_image_.contains(current)) refuse(node, "a feature map that does not depend on the picture");
    done_[current] = convert_node(node);
    waiting.pop_back();
  }
  return done_.at(value);
}

FeatureMap Understanding::concat(const OpNode& node) {
  const bool tensorflow = file_.dialect == Dialect::kTensorFlow;
  std::vector<std::string> parts = node.inputs;
  int64_t axis = node.integer("axis", 0);
  if (tensorflow) {
    if (parts.empty()) refuse(node, "has no inputs");
    const std::vector<int64_t> last = constant_integers(node, parts.size() - 1);
    if (last.size() != 1) refuse(node, "the axis is not a scalar");
    axis = last[0];
    parts.pop_back();
  }
  if (parts.size() == 2 && axis == 0 && file_.metadata.contains("posefix.flip")) return feature(node, 0);
  std::vector<graph::NodeId> inputs;
  std::optional<Layout> layout;
  for (const std::string& part : parts) {
    if (on_image_.contains(part)) layout = done_.at(part).layout;
  }
  if (!layout) refuse(node, "joins nothing that depends on the picture");
  const int64_t channels = *layout == Layout::kNhwc ? 3 : 1;
  if (axis != channels && axis != channels - 4)
    refuse(node, fmt::format("joins along axis {}, expected the channels ({})", axis, channels));
  for (const std::string& part : parts) {
    const FeatureMap map = on_image_.contains(part) ? done_.at(part) : rendering(part, *layout);
    if (map.layout != *layout) refuse(node, "joins NHWC and NCHW values");
    inputs.push_back(map.node);
  }
  return {emit(Op::kConcat, node.name, inputs), *layout};
}

FeatureMap Understanding::rendering(const std::string& value, Layout layout) {
  if (!on_pose_.contains(value)) {
    throw bad_input("{}: '{}' is joined to the picture but does not depend on the pose", file_.source, value);
  }
  if (model_.graph.find_or_none("input_heatmap") >= 0) {
    throw bad_input("{}: '{}': the pose is rendered twice", file_.source, value);
  }
  const double sigma = probe_rendering(file_, inputs_, value, layout);
  const graph::NodeId pose = model_.graph.find("pose");
  const graph::NodeId valid = model_.graph.find("valid");
  return {model_.graph.add(Op::kRenderPose, "input_heatmap", {pose, valid},
                           {.height = inputs_.height, .width = inputs_.width, .sigma = sigma}),
          layout};
}

ImportedModel understand(const OpGraph& file) { return Understanding(file).run(); }

}  // namespace posefix::exporters

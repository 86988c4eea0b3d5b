#include "model/transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"

namespace posefix::model {
namespace {

constexpr int64_t kImageChannels = 3;

bool is_first_layer(const std::string& name) {
  return name.ends_with("/conv1/weights") && name.find("/block") == std::string::npos;
}
bool is_head(const std::string& name) { return name.starts_with("up") || name.starts_with("out/"); }
bool is_own_state(const std::string& name) { return name.starts_with("optimizer/") || name.starts_with("train/"); }

bool is_float(const Tensor& tensor) {
  return tensor.dtype() == DType::kF32 || tensor.dtype() == DType::kF64 || tensor.dtype() == DType::kF16 ||
         tensor.dtype() == DType::kBF16;
}

class Transferrer {
 public:
  Transferrer(const graph::Graph& graph, NamedTensors initial, const std::vector<std::string>& joints,
              const TransferSource& source, bool partial)
      : joints_(joints), source_(source), partial_(partial) {
    result_.variables = std::move(initial);
    for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
      shapes_.emplace(graph.node(id).name, graph.node(id).type.shape);
    }
    is_imagenet_ = looks_like_imagenet();
  }

  Transfer run() {
    for (const auto& [name, shape] : shapes_) take(name, shape);
    for (const auto& [name, tensor] : source_.tensors) {
      if (!shapes_.contains(name)) surplus(name, tensor);
    }
    if (!problems_.empty()) {
      throw bad_input("{}: does not fit the network of {} variables{}{}:{}", source_.name, shapes_.size(),
                      partial_ ? "" : " (--partial takes what fits)", hint(), problems_);
    }
    if (took_nothing()) throw bad_input("{}: nothing in it fits the network{}", source_.name, hint());
    take_state();
    return std::move(result_);
  }

 private:
  void row(std::string outcome, const std::string& name, std::string detail) {
    result_.rows.push_back({std::move(outcome), name, std::move(detail)});
  }
  void problem(std::string_view what, std::string_view name, std::string_view detail) {
    problems_ += fmt::format("\n  {:<12} {:<64} {}", what, name, detail);
  }

  // The scope of the first layer: "resnet_v1_50".
  template <typename Value>
  static std::string_view trunk(const std::map<std::string, Value>& by_name) {
    for (const auto& [name, value] : by_name) {
      if (is_first_layer(name)) return std::string_view(name).substr(0, name.find('/'));
    }
    return "";
  }

  // Why file and network differ, where the names alone tell.
  std::string hint() const {
    const std::string_view ours = trunk(shapes_);
    const std::string_view theirs = trunk(source_.tensors);
    if (!ours.empty() && !theirs.empty() && ours != theirs) {
      return fmt::format("; its layers begin with {}, the network's with {}: set model.backbone", theirs, ours);
    }
    const auto is_norm = [](const auto& entry) { return entry.first.find("/BatchNorm/") != std::string::npos; };
    if (!theirs.empty() && std::none_of(source_.tensors.begin(), source_.tensors.end(), is_norm) &&
        std::any_of(shapes_.begin(), shapes_.end(), is_norm)) {
      return "; batch norm was folded into its filters, which cannot be undone (compile and refine take such a model)";
    }
    return "";
  }

  bool took_nothing() const {
    return std::none_of(result_.rows.begin(), result_.rows.end(),
                        [](const TransferRow& r) { return r.outcome == "loaded" || r.outcome == "partly"; });
  }

  // A classifier's trunk: no head, and a first layer that sees a picture alone.
  bool looks_like_imagenet() const {
    bool has_trunk = false;
    for (const auto& [name, tensor] : source_.tensors) {
      if (is_head(name)) return false;
      has_trunk =
          has_trunk || (is_first_layer(name) && tensor.shape().size() == 4 && tensor.shape()[2] == kImageChannels);
    }
    return has_trunk;
  }

  void take(const std::string& name, const Shape& shape) {
    const auto found = source_.tensors.find(name);
    if (found == source_.tensors.end()) {
      if ((is_imagenet_ && is_head(name)) || partial_) {
        row("initial", name, "not in the file");
      } else {
        problem("missing", name, "expected f32" + to_string(shape));
      }
      return;
    }
    const Tensor& value = found->second;
    if (!is_float(value)) {
      problem("wrong type", name, fmt::format("expected floating point, found {}", dtype_name(value.dtype())));
    } else if (value.shape() == shape) {
      result_.variables[name] = value.to_f32();
      row("loaded", name, "");
    } else if (!take_part(name, value.to_f32(), result_.variables.at(name))) {
      const std::string detail = fmt::format("expected {}, found {}", to_string(shape), to_string(value.shape()));
      if (partial_) {
        row("initial", name, detail);
      } else {
        problem("wrong shape", name, detail);
      }
    }
  }

  // The parts of the three variables whose shape depends on the number of joints.
  bool take_part(const std::string& name, const Tensor& value, Tensor& target) {
    const size_t axis = name == "out/biases" ? 0 : name == "out/weights" ? 3 : 2;
    const bool by_joint = axis != 2 || is_first_layer(name);
    const bool picture_only = axis == 2 && value.shape().size() == 4 && value.shape()[2] == kImageChannels;
    if (!by_joint || (!partial_ && !picture_only)) return false;
    Shape from = value.shape();
    Shape to = target.shape();
    if (from.size() != to.size() || axis >= from.size()) return false;
    const std::vector<std::pair<int64_t, int64_t>> channels = matching_channels(axis == 2, from[axis], to[axis]);
    std::string detail =
        fmt::format("{} of {} {}channels from the file", channels.size(), to[axis], axis == 2 ? "input " : "output ");
    from[axis] = to[axis] = 0;
    if (from != to || channels.empty()) return false;
    copy_channels(value, target, axis, channels);
    row("partly", name, detail + ", the others keep their initial values");
    return true;
  }

  // (index in the file, index in the network): the picture's channels, then joints of the same name.
  std::vector<std::pair<int64_t, int64_t>> matching_channels(bool has_picture, int64_t from, int64_t to) const {
    std::vector<std::pair<int64_t, int64_t>> pairs;
    const int64_t first = has_picture ? kImageChannels : 0;
    if (from < first || to < first) return pairs;
    for (int64_t c = 0; c < first; ++c) pairs.emplace_back(c, c);
    const bool named = static_cast<int64_t>(source_.joints.size()) == from - first &&
                       static_cast<int64_t>(joints_.size()) == to - first;
    for (int64_t j = 0; named && j < to - first; ++j) {
      const auto same = std::find(source_.joints.begin(), source_.joints.end(), joints_[static_cast<size_t>(j)]);
      if (same != source_.joints.end()) pairs.emplace_back(first + (same - source_.joints.begin()), first + j);
    }
    return pairs;
  }

  static void copy_channels(const Tensor& value, Tensor& target, size_t axis,
                            const std::vector<std::pair<int64_t, int64_t>>& channels) {
    int64_t outer = 1;
    int64_t inner = 1;
    for (size_t d = 0; d < axis; ++d) outer *= target.shape()[d];
    for (size_t d = axis + 1; d < target.shape().size(); ++d) inner *= target.shape()[d];
    const int64_t from_channels = value.shape()[axis];
    const int64_t to_channels = target.shape()[axis];
    const std::span<const float> in = value.f32();
    const std::span<float> out = target.mutable_f32();
    for (int64_t o = 0; o < outer; ++o) {
      for (const auto& [from, to] : channels) {
        const auto source =
            in.subspan(static_cast<size_t>((o * from_channels + from) * inner), static_cast<size_t>(inner));
        std::copy(source.begin(), source.end(), out.begin() + (o * to_channels + to) * inner);
      }
    }
  }

  // Names that TensorFlow's Adam and the reference's trainer leave beside the weights.
  bool is_training_state(const std::string& name) const {
    for (const std::string_view slot : {"/Adam", "/Adam_1", "/Momentum"}) {
      if (name.ends_with(slot) && shapes_.contains(name.substr(0, name.size() - slot.size()))) return true;
    }
    return name == "beta1_power" || name == "beta2_power" || name == "Variable" || name == "global_step" ||
           is_own_state(name);
  }

  void surplus(const std::string& name, const Tensor& tensor) {
    const std::string detail = fmt::format("{} {}", dtype_name(tensor.dtype()), to_string(tensor.shape()));
    if (is_training_state(name)) return;  // take_state() reports it
    if (is_imagenet_ || partial_) {
      row("ignored", name, detail + ", no part of the network");
    } else {
      problem("surplus", name, detail);
    }
  }

  bool loaded_whole() const {
    return std::all_of(result_.rows.begin(), result_.rows.end(),
                       [](const TransferRow& r) { return r.outcome == "loaded"; });
  }

  // Adam's moments, if there are some for every variable that has any chance of being trained.
  void take_state() {
    const bool whole = loaded_whole();
    const std::optional<int64_t> steps = whole ? steps_of_adam() : std::nullopt;
    NamedTensors state;
    bool complete = steps.has_value();
    for (const auto& [name, shape] : shapes_) {
      if (name.find("/moving_") != std::string::npos) continue;
      for (const auto& [slot, prefix] : {std::pair{"/Adam", "optimizer/m/"}, std::pair{"/Adam_1", "optimizer/v/"}}) {
        const auto found = source_.tensors.find(name + slot);
        if (found == source_.tensors.end() || found->second.shape() != shape || !is_float(found->second)) {
          complete = false;
        } else {
          state.emplace(prefix + name, found->second.to_f32());
        }
      }
    }
    if (complete) {
      result_.state = std::move(state);
      result_.step = steps.value_or(0);
      result_.step_known = result_.step < kMostCountedSteps;
    }
    for (const auto& [name, tensor] : source_.tensors) {
      if (shapes_.contains(name) || !is_training_state(name)) continue;
      const bool used = complete && !is_own_state(name) && name != "Variable" && name != "global_step";
      row(used ? "state" : "dropped", name, used ? "Adam's state: training can go on from it" : "training state");
    }
  }

  // beta2_power is 0.999^(t+1) after t steps, multiplied up in float32; later it is too small to tell them.
  std::optional<int64_t> steps_of_adam() const {
    const auto power = source_.tensors.find("beta2_power");
    if (power == source_.tensors.end() || power->second.dtype() != DType::kF32 || power->second.count() != 1) {
      return std::nullopt;
    }
    const double value = power->second.f32()[0];
    constexpr double kBeta2 = 0.999F;
    if (!(value >= 0 && value < 1)) return std::nullopt;
    if (value < std::pow(kBeta2, kMostCountedSteps + 1)) return kMostCountedSteps;
    return std::max<int64_t>(0, std::llround(std::log(value) / std::log(kBeta2)) - 1);
  }

  std::map<std::string, Shape> shapes_;  // of the network's variables
  const std::vector<std::string>& joints_;
  const TransferSource& source_;
  bool partial_;
  bool is_imagenet_ = false;
  Transfer result_;
  std::string problems_;
};

}  // namespace

Transfer transfer(const graph::Graph& graph, NamedTensors initial, const std::vector<std::string>& joints,
                  const TransferSource& source, bool partial) {
  return Transferrer(graph, std::move(initial), joints, source, partial).run();
}

}  // namespace posefix::model

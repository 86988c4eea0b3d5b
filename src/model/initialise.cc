// Initial values of a network's variables, and the check of given ones.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "model/posefix_net.h"

namespace posefix::model {
namespace {

bool is_up(const std::string& name) { return name.starts_with("up"); }
bool ends_with(const std::string& name, std::string_view end) { return name.ends_with(end); }

// FNV-1a, so that a variable's values depend on its name and not on its place in the graph.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Normal values redrawn beyond two standard deviations, as TensorFlow's truncated_normal.
void fill_truncated_normal(std::span<float> values, double stddev, Rng& rng) {
  for (float& value : values) {
    double draw = rng.normal();
    while (std::fabs(draw) > 2.0) draw = rng.normal();
    value = static_cast<float>(draw * stddev);
  }
}

// slim's variance_scaling_initializer(factor 2, FAN_IN): truncated normal whose variance after truncation is 2/fan_in.
double variance_scaling_stddev(const Shape& hwio) {
  const auto fan_in = static_cast<double>(hwio.at(0) * hwio.at(1) * hwio.at(2));
  return std::sqrt(1.3 * 2.0 / fan_in);
}

void fill(const std::string& name, Tensor& tensor, uint64_t seed) {
  const std::span<float> values = tensor.mutable_f32();
  Rng rng(seed, 0, hash_name(name));
  if (ends_with(name, "/gamma") || ends_with(name, "/moving_variance")) {
    std::fill(values.begin(), values.end(), 1.0F);
  } else if (ends_with(name, "/weights")) {
    constexpr double kUpStddev = 0.01;
    fill_truncated_normal(values, is_up(name) ? kUpStddev : variance_scaling_stddev(tensor.shape()), rng);
  }  // beta, moving_mean and biases stay 0
}

}  // namespace

NamedTensors initialise(const graph::Graph& graph, uint64_t seed) { return initialise_rest(graph, seed, {}); }

NamedTensors initialise_rest(const graph::Graph& graph, uint64_t seed, const NamedTensors& given) {
  NamedTensors weights;
  for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
    const graph::Node& node = graph.node(id);
    const auto found = given.find(node.name);
    if (found != given.end() && found->second.shape() == node.type.shape) continue;
    Tensor tensor(node.type.dtype, node.type.shape);
    fill(node.name, tensor, seed);
    weights.emplace(node.name, std::move(tensor));
  }
  return weights;
}

void check_weights(const graph::Graph& graph, const NamedTensors& weights, const std::string& source) {
  std::string table;
  const auto row = [&](std::string_view problem, std::string_view name, std::string_view detail) {
    table += fmt::format("\n  {:<12} {:<64} {}", problem, name, detail);
  };
  size_t variables = 0;
  for (const graph::NodeId id : graph.all(graph::Op::kWeight)) {
    const graph::Node& node = graph.node(id);
    ++variables;
    const auto found = weights.find(node.name);
    if (found == weights.end()) {
      row("missing", node.name, "expected " + to_string(node.type));
    } else if (found->second.shape() != node.type.shape) {
      row("wrong shape", node.name,
          fmt::format("expected {}, found {}", to_string(node.type.shape), to_string(found->second.shape())));
    } else if (found->second.dtype() != node.type.dtype) {
      row("wrong type", node.name, fmt::format("expected f32, found {}", dtype_name(found->second.dtype())));
    }
  }
  for (const auto& [name, tensor] : weights) {
    const graph::NodeId id = graph.find_or_none(name);
    if (id < 0 || graph.node(id).op != graph::Op::kWeight) row("surplus", name, to_string(tensor.shape()));
  }
  if (!table.empty()) {
    throw bad_input("{}: does not fit the network of {} variables:{}", source, variables, table);
  }
}

}  // namespace posefix::model

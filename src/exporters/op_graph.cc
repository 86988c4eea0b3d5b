#include "exporters/op_graph.h"

#include <algorithm>

#include "base/error.h"

namespace posefix::exporters {
namespace {

template <typename T>
T attribute(const OpNode& node, const std::string& key, T otherwise) {
  const auto found = node.attributes.find(key);
  if (found == node.attributes.end()) return otherwise;
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) throw bad_input("node '{}' ({}): attribute '{}' has another type", node.name, node.op, key);
  return *value;
}

}  // namespace

int64_t OpNode::integer(const std::string& key, int64_t otherwise) const { return attribute(*this, key, otherwise); }
double OpNode::number(const std::string& key, double otherwise) const { return attribute(*this, key, otherwise); }
std::string OpNode::text(const std::string& key, const std::string& otherwise) const {
  return attribute(*this, key, otherwise);
}
std::vector<int64_t> OpNode::integers(const std::string& key, std::vector<int64_t> otherwise) const {
  return attribute(*this, key, std::move(otherwise));
}

const OpNode* OpGraph::producer(std::string_view value) const {
  const auto found = producers_.find(value);
  return found == producers_.end() ? nullptr : &nodes[found->second];
}

void OpGraph::finish() {
  std::map<std::string, size_t, std::less<>> made_by;
  const auto claim = [&](const std::string& value, size_t node) {
    if (constants.contains(value) || !made_by.emplace(value, node).second) {
      throw bad_input("{}: value '{}' is produced twice", source, value);
    }
  };
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const std::string& output : nodes[i].outputs) claim(output, i);
  }
  std::vector<size_t> waiting(nodes.size(), 0);
  std::vector<std::vector<size_t>> readers(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const std::string& input : nodes[i].inputs) {
      const auto found = made_by.find(input);
      const bool given = input.empty() || constants.contains(input) ||
                         std::any_of(inputs.begin(), inputs.end(), [&](const OpInput& in) { return in.name == input; });
      if (found == made_by.end() && !given) {
        throw bad_input("{}: node '{}' ({}) reads '{}', which nothing produces", source, nodes[i].name, nodes[i].op,
                        input);
      }
      if (found == made_by.end()) continue;
      ++waiting[i];
      readers[found->second].push_back(i);
    }
  }
  std::vector<size_t> order;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (waiting[i] == 0) order.push_back(i);
  }
  for (size_t next = 0; next < order.size(); ++next) {
    for (const size_t reader : readers[order[next]]) {
      if (--waiting[reader] == 0) order.push_back(reader);
    }
  }
  if (order.size() != nodes.size()) throw bad_input("{}: the graph has a cycle", source);
  std::vector<OpNode> sorted;
  sorted.reserve(nodes.size());
  producers_.clear();
  for (const size_t i : order) {
    for (const std::string& output : nodes[i].outputs) producers_.emplace(output, sorted.size());
    sorted.push_back(std::move(nodes[i]));
  }
  nodes = std::move(sorted);
}

}  // namespace posefix::exporters

// Computes parts of an OpGraph, to find out by trying what a group of foreign operators does.
//
// Two parts of a pose network are plain arithmetic that every exporter writes in its own way: rendering the input pose
// and turning heat maps into coordinates. Instead of matching patterns, the reader runs them on chosen inputs and
// compares with the definition. Memory follows the elements that are asked for, not the shapes in the file. Non-goals:
// speed, convolutions.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "exporters/steps.h"

namespace posefix::exporters {

// A value that replaces what the graph would compute: element i, row-major.
struct Given {
  Shape shape;
  std::function<double(int64_t i)> element;
};

class Interpreter {
 public:
  // `graph` is borrowed.
  Interpreter(const OpGraph& graph, const std::map<std::string, Given>& given);
  // Error (bad input) of all three names the node whose operator is unknown or whose inputs do not fit.
  const Shape& shape(const std::string& value);
  // The elements that are asked for, in that order.
  std::vector<double> elements(const std::string& value, std::span<const int64_t> indices);
  std::vector<double> all_elements(const std::string& value);

 private:
  size_t step_of(const std::string& value);
  std::optional<size_t> known_step(const std::string& value);
  void add(const OpNode& node);

  const OpGraph& graph_;
  Steps steps_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

}  // namespace posefix::exporters

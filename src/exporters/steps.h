// Values of a foreign graph as formulas: how each element of a value follows from elements of earlier values.
//
// Invariant: nothing is computed before it is asked for, and no more than kMostElements numbers exist at a time,
// however large the shapes are that a file asks for. Non-goals: convolutions, integer overflow of the original types.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "exporters/op_graph.h"

namespace posefix::exporters {

// Numbers that one evaluation may hold, over all steps: 8 MiB, and as much for which elements they are.
constexpr int64_t kMostElements = int64_t{1} << 20;

struct Need {
  size_t input;     // position in Step::inputs
  int64_t element;  // row-major index in that value
};

struct Step {
  Shape shape;
  std::vector<size_t> inputs;  // earlier steps
  // Appends what element i needs; `combine` gets the values in that order.
  std::function<void(int64_t i, std::vector<Need>& needs)> needs;
  std::function<double(std::span<const double>)> combine;
  // Instead of the three above: element i of a constant, or of a value that is given from outside.
  std::function<double(int64_t i)> source;
  bool is_constant = false;
};

class Steps {
 public:
  // Error (bad input) when the shape is no shape. Small values that depend on constants alone become constants.
  size_t add(Step step);
  const Step& operator[](size_t step) const { return steps_[step]; }

  // Chosen elements of a value. Error (bad input) when that takes more than kMostElements numbers.
  std::vector<double> evaluate(size_t step, std::span<const int64_t> elements) const;
  // A constant's elements as whole numbers, those beyond 1e15 as 1e15, and the only one of them.
  std::vector<int64_t> integers(size_t step) const;
  int64_t integer(size_t step) const;
  double number(size_t step) const;

 private:
  void fold(Step& step);
  std::vector<std::vector<int64_t>> wanted_for(size_t step, std::span<const int64_t> elements) const;

  std::vector<Step> steps_;
  int64_t folded_ = 0;  // numbers that fold() has stored
};

// One operator under TensorFlow's or ONNX's name: a step a name in node.outputs. `in`: its inputs' steps.
using StepInputs = std::vector<std::optional<size_t>>;
std::vector<size_t> add_operator(const OpNode& node, Dialect dialect, const StepInputs& in, Steps& steps);

// The two halves of add_operator(); nothing if the operator is not theirs.
std::optional<std::vector<size_t>> add_arithmetic(const OpNode& node, Dialect dialect, const StepInputs& in,
                                                  Steps& steps);
std::optional<std::vector<size_t>> add_move(const OpNode& node, Dialect dialect, const StepInputs& in, Steps& steps);

// Error (bad input) if it is absent.
size_t required(const StepInputs& in, size_t i);
// -1 is the last axis.
size_t axis_of(int64_t axis, size_t rank);
// Row-major strides.
Shape strides_of(const Shape& shape);

// Row-major element of a larger or rearranged index space: base + sum of index[d] * step[d].
struct AffineIndex {
  Shape shape;
  Shape step;
  int64_t base = 0;
  int64_t operator()(int64_t i) const;
};

Shape broadcast_shape(const Shape& a, const Shape& b);
AffineIndex broadcast_index(const Shape& from, const Shape& to);

// A value whose element i is element index(i) of `in`.
size_t add_moved(Steps& steps, size_t in, Shape shape, std::function<int64_t(int64_t)> index);
size_t add_constant(Steps& steps, Shape shape, std::vector<double> values);

}  // namespace posefix::exporters

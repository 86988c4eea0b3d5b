// Operators that compute: element by element, reductions, softmax.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "exporters/steps.h"

namespace posefix::exporters {
namespace {

using Binary = double (*)(double, double);
using Unary = double (*)(double);
using Combine = std::function<double(std::span<const double>)>;

size_t add_binary(Steps& steps, size_t left, size_t right, Binary f) {
  Step step;
  step.shape = broadcast_shape(steps[left].shape, steps[right].shape);
  step.inputs = {left, right};
  step.needs = [a = broadcast_index(steps[left].shape, step.shape),
                b = broadcast_index(steps[right].shape, step.shape)](int64_t i, std::vector<Need>& needs) {
    needs.push_back({0, a(i)});
    needs.push_back({1, b(i)});
  };
  step.combine = [f](std::span<const double> values) { return f(values[0], values[1]); };
  return steps.add(std::move(step));
}

size_t add_unary(Steps& steps, size_t in, Unary f) {
  Step step;
  step.shape = steps[in].shape;
  step.inputs = {in};
  step.needs = [](int64_t i, std::vector<Need>& needs) { needs.push_back({0, i}); };
  step.combine = [f](std::span<const double> values) { return f(values[0]); };
  return steps.add(std::move(step));
}

size_t add_reduction(Steps& steps, size_t in, const std::vector<int64_t>& axes, bool keep, Combine combine) {
  const Shape& from = steps[in].shape;
  const Shape strides = strides_of(from);
  std::vector<bool> reduced(from.size(), false);
  for (const int64_t axis : axes) reduced[axis_of(axis, from.size())] = true;
  AffineIndex start;  // first element of a group
  AffineIndex inside;
  Step step;
  int64_t count = 1;
  for (size_t d = 0; d < from.size(); ++d) {
    AffineIndex& index = reduced[d] ? inside : start;
    index.shape.push_back(from[d]);
    index.step.push_back(strides[d]);
    if (!reduced[d] || keep) step.shape.push_back(reduced[d] ? 1 : from[d]);
    if (reduced[d] && (__builtin_mul_overflow(count, from[d], &count) || count > kMostElements)) {
      throw bad_input("a reduction of {} over {} axes", to_string(from), axes.size());
    }
  }
  step.inputs = {in};
  step.needs = [start, inside, count](int64_t i, std::vector<Need>& needs) {
    const int64_t first = start(i);
    for (int64_t k = 0; k < count; ++k) needs.push_back({0, first + inside(k)});
  };
  step.combine = std::move(combine);
  return steps.add(std::move(step));
}

double sum(std::span<const double> values) {
  double result = 0;
  for (const double value : values) result += value;
  return result;
}
double mean(std::span<const double> values) { return sum(values) / static_cast<double>(values.size()); }
double largest(std::span<const double> values) {
  return values.empty() ? -HUGE_VAL : *std::max_element(values.begin(), values.end());
}

// ONNX's Where: x where the condition holds, else y.
size_t add_choice(Steps& steps, size_t condition, size_t x, size_t y) {
  Step step;
  const Shape operands = broadcast_shape(steps[x].shape, steps[y].shape);
  step.shape = broadcast_shape(steps[condition].shape, operands);
  step.inputs = {condition, x, y};
  std::vector<AffineIndex> indices;
  for (const size_t in : step.inputs) indices.push_back(broadcast_index(steps[in].shape, step.shape));
  step.needs = [indices](int64_t i, std::vector<Need>& needs) {
    for (size_t in = 0; in < indices.size(); ++in) needs.push_back({in, indices[in](i)});
  };
  step.combine = [](std::span<const double> values) { return values[0] != 0 ? values[1] : values[2]; };
  return steps.add(std::move(step));
}

// [..., M, K] times [..., K, N], the axes before them broadcast.
size_t add_matrix_product(Steps& steps, size_t left, size_t right) {
  Shape a = steps[left].shape;
  Shape b = steps[right].shape;
  if (a.size() < 2 || b.size() < 2 || a.back() != b[b.size() - 2]) {
    throw bad_input("a matrix product of {} and {}", to_string(a), to_string(b));
  }
  const int64_t inner = a.back();
  const int64_t columns = b.back();
  if (inner > kMostElements / 2) throw bad_input("a matrix product over {} elements", inner);
  // The first element of a row of the left and of a column of the right that element i of the result needs.
  a.back() = 1;
  b[b.size() - 2] = 1;
  Step step;
  step.shape = broadcast_shape(a, b);
  step.inputs = {left, right};
  const AffineIndex row = broadcast_index(a, step.shape);
  AffineIndex column = broadcast_index(b, step.shape);
  for (size_t d = 0; d + 2 < step.shape.size(); ++d) column.step[d] *= inner;
  step.needs = [row, column, inner, columns](int64_t i, std::vector<Need>& needs) {
    for (int64_t k = 0; k < inner; ++k) {
      needs.push_back({0, row(i) * inner + k});
      needs.push_back({1, column(i) + k * columns});
    }
  };
  step.combine = [](std::span<const double> values) {
    double result = 0;
    for (size_t k = 0; k < values.size(); k += 2) result += values[k] * values[k + 1];
    return result;
  };
  return steps.add(std::move(step));
}

// The letters of an equation such as "bkp,pc->bkc": those of each operand, then those of the result.
std::vector<std::string> einsum_terms(const std::string& equation, size_t operands) {
  std::vector<std::string> terms{""};
  bool has_result = false;
  for (size_t i = 0; i < equation.size(); ++i) {
    const char c = equation[i];
    if (c == ' ') continue;
    if (c == ',' && !has_result) {
      terms.emplace_back();
    } else if (c == '-' && i + 1 < equation.size() && equation[i + 1] == '>' && !has_result) {
      has_result = true;
      terms.emplace_back();
      ++i;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      terms.back() += c;
    } else {
      throw bad_input("the equation '{}' has a '{}'; read are letters, commas and one '->'", equation, c);
    }
  }
  if (!has_result || terms.size() != operands + 1) {
    throw bad_input("the equation '{}' is not one of {} operands, '->' and the result", equation, operands);
  }
  return terms;
}

// How long each letter's axis is.
std::map<char, int64_t> einsum_sizes(const Steps& steps, const std::vector<size_t>& in,
                                     const std::vector<std::string>& terms) {
  std::map<char, int64_t> sizes;
  for (size_t operand = 0; operand < in.size(); ++operand) {
    const Shape& shape = steps[in[operand]].shape;
    const std::string& letters = terms[operand];
    if (shape.size() != letters.size()) throw bad_input("the equation's '{}' is {}", letters, to_string(shape));
    for (size_t d = 0; d < shape.size(); ++d) {
      const auto [letter, is_new] = sizes.emplace(letters[d], shape[d]);
      if (!is_new && letter->second != shape[d]) {
        throw bad_input("the equation's '{}' is {} and {}", letter->first, letter->second, shape[d]);
      }
    }
  }
  return sizes;
}

// Sums of products over the letters that the result has not.
size_t add_einsum(Steps& steps, const std::vector<size_t>& in, const std::string& equation) {
  const std::vector<std::string> terms = einsum_terms(equation, in.size());
  const std::map<char, int64_t> sizes = einsum_sizes(steps, in, terms);
  std::string letters = terms.back();  // of the result, then those that are summed over
  AffineIndex all;
  for (const char letter : terms.back()) {
    if (!sizes.contains(letter) || std::count(letters.begin(), letters.end(), letter) != 1) {
      throw bad_input("the equation's result has '{}' twice, or it is not an operand's", letter);
    }
    all.shape.push_back(sizes.at(letter));
  }
  Step step;
  step.shape = all.shape;
  const int64_t most = kMostElements / static_cast<int64_t>(in.size());
  int64_t summed = 1;
  for (const auto& [letter, size] : sizes) {
    if (letters.find(letter) != std::string::npos) continue;
    letters += letter;
    all.shape.push_back(size);
    if (__builtin_mul_overflow(summed, size, &summed) || summed > most) {
      throw bad_input("the equation '{}' adds up more than {} products", equation, most);
    }
  }
  all.step.assign(all.shape.size(), 0);
  std::vector<AffineIndex> indices(in.size(), all);
  for (size_t operand = 0; operand < in.size(); ++operand) {
    const Shape strides = strides_of(steps[in[operand]].shape);
    for (size_t d = 0; d < strides.size(); ++d) indices[operand].step[letters.find(terms[operand][d])] += strides[d];
  }
  step.inputs = in;
  step.needs = [indices, summed](int64_t i, std::vector<Need>& needs) {
    for (int64_t k = 0; k < summed; ++k) {
      for (size_t operand = 0; operand < indices.size(); ++operand) {
        needs.push_back({operand, indices[operand](i * summed + k)});
      }
    }
  };
  step.combine = [operands = in.size()](std::span<const double> values) {
    double result = 0;
    for (size_t k = 0; k < values.size(); k += operands) {
      double product = 1;
      for (size_t operand = 0; operand < operands; ++operand) product *= values[k + operand];
      result += product;
    }
    return result;
  };
  return steps.add(std::move(step));
}

size_t add_softmax(Steps& steps, size_t in, int64_t axis) {
  const size_t top = add_reduction(steps, in, {axis}, true, largest);
  const size_t raised = add_binary(steps, in, top, [](double a, double b) { return std::exp(a - b); });
  const size_t total = add_reduction(steps, raised, {axis}, true, sum);
  return add_binary(steps, raised, total, [](double a, double b) { return a / b; });
}

const std::map<std::string, Binary, std::less<>>& binaries() {
  static const std::map<std::string, Binary, std::less<>> rules{
      {"Add", [](double a, double b) { return a + b; }},
      {"AddV2", [](double a, double b) { return a + b; }},
      {"Sub", [](double a, double b) { return a - b; }},
      {"Mul", [](double a, double b) { return a * b; }},
      {"Div", [](double a, double b) { return a / b; }},
      {"RealDiv", [](double a, double b) { return a / b; }},
      {"Mod", [](double a, double b) { return a - std::floor(a / b) * b; }},
      {"Pow", [](double a, double b) { return std::pow(a, b); }},
      {"Greater", [](double a, double b) { return a > b ? 1.0 : 0.0; }},
      {"GreaterOrEqual", [](double a, double b) { return a >= b ? 1.0 : 0.0; }},
      {"Less", [](double a, double b) { return a < b ? 1.0 : 0.0; }},
      {"LessOrEqual", [](double a, double b) { return a <= b ? 1.0 : 0.0; }},
      {"Equal", [](double a, double b) { return a == b ? 1.0 : 0.0; }},
      {"SquaredDifference", [](double a, double b) { return (a - b) * (a - b); }}};
  return rules;
}

const std::map<std::string, Unary, std::less<>>& unaries() {
  static const std::map<std::string, Unary, std::less<>> rules{{"Square", [](double a) { return a * a; }},
                                                               {"Sqrt", [](double a) { return std::sqrt(a); }},
                                                               {"Exp", [](double a) { return std::exp(a); }},
                                                               {"Neg", [](double a) { return -a; }},
                                                               {"Not", [](double a) { return a == 0 ? 1.0 : 0.0; }},
                                                               {"Relu", [](double a) { return std::max(a, 0.0); }},
                                                               {"Cast", [](double a) { return a; }},
                                                               {"Identity", [](double a) { return a; }},
                                                               {"StopGradient", [](double a) { return a; }}};
  return rules;
}

// The axes that are reduced: an input, an attribute, or all.
std::vector<int64_t> reduced_axes(const OpNode& node, const StepInputs& in, const Steps& steps) {
  if (in.size() > 1 && in[1]) return steps.integers(*in[1]);
  std::vector<int64_t> all;
  for (size_t d = 0; d < steps[required(in, 0)].shape.size(); ++d) all.push_back(static_cast<int64_t>(d));
  return node.integers("axes", all);
}

}  // namespace

std::optional<std::vector<size_t>> add_arithmetic(const OpNode& node, Dialect dialect, const StepInputs& in,
                                                  Steps& steps) {
  const bool onnx = dialect == Dialect::kOnnx;
  if (const auto found = binaries().find(node.op); found != binaries().end()) {
    return {{add_binary(steps, required(in, 0), required(in, 1), found->second)}};
  }
  if (const auto found = unaries().find(node.op); found != unaries().end()) {
    return {{add_unary(steps, required(in, 0), found->second)}};
  }
  if (node.op == "MatMul" && onnx) return {{add_matrix_product(steps, required(in, 0), required(in, 1))}};
  if (node.op == "Where" && onnx) {
    return {{add_choice(steps, required(in, 0), required(in, 1), required(in, 2))}};
  }
  if (node.op == "Einsum" && onnx) {
    std::vector<size_t> operands;
    for (size_t i = 0; i < in.size(); ++i) operands.push_back(required(in, i));
    return {{add_einsum(steps, operands, node.text("equation", ""))}};
  }
  if (node.op == "Softmax") return {{add_softmax(steps, required(in, 0), onnx ? node.integer("axis", -1) : -1)}};
  const bool is_mean = node.op == "Mean" || node.op == "ReduceMean";
  const bool is_max = node.op == "ReduceMax";
  if (is_mean || is_max || node.op == "Sum" || node.op == "ReduceSum") {
    const bool keep = onnx ? node.integer("keepdims", 1) != 0 : node.integer("keep_dims", 0) != 0;
    const Combine combine = is_mean ? mean : is_max ? largest : sum;
    return {{add_reduction(steps, required(in, 0), reduced_axes(node, in, steps), keep, combine)}};
  }
  return std::nullopt;
}

}  // namespace posefix::exporters

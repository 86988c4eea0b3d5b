#include "exporters/steps.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace posefix::exporters {
namespace {

constexpr int64_t kMostFolded = 1024;  // elements of a value; shapes, axes and the like are smaller

// Elements that are wanted of a value, found again in the order of asking, which is mostly theirs.
class Finder {
 public:
  explicit Finder(std::span<const int64_t> wanted) : wanted_(wanted) {}
  size_t operator()(int64_t element) {
    if (at_ < wanted_.size() && wanted_[at_] == element) return at_;
    if (at_ + 1 < wanted_.size() && wanted_[at_ + 1] == element) return ++at_;
    at_ = static_cast<size_t>(std::lower_bound(wanted_.begin(), wanted_.end(), element) - wanted_.begin());
    return at_;
  }

 private:
  std::span<const int64_t> wanted_;
  size_t at_ = 0;
};

void make_sorted_set(std::vector<int64_t>& elements) {
  const auto not_increasing = std::adjacent_find(elements.begin(), elements.end(), std::greater_equal<>());
  if (not_increasing == elements.end()) return;
  std::sort(elements.begin(), elements.end());
  elements.erase(std::unique(elements.begin(), elements.end()), elements.end());
}

void merge(std::vector<int64_t>& into, std::vector<int64_t> more) {
  make_sorted_set(more);
  if (into.empty()) {
    into = std::move(more);
  } else if (into != more) {
    std::vector<int64_t> both;
    std::set_union(into.begin(), into.end(), more.begin(), more.end(), std::back_inserter(both));
    into = std::move(both);
  }
}

void charge(int64_t& count, size_t more) {
  count += static_cast<int64_t>(more);
  if (count > kMostElements)
    throw bad_input("finding out what the graph does takes more than {} numbers", kMostElements);
}

// What the wanted elements of a step need, by input.
std::vector<std::vector<int64_t>> needs_of(const Step& step, const std::vector<int64_t>& wanted) {
  std::vector<std::vector<int64_t>> lists(step.inputs.size());
  std::vector<Need> needs;
  int64_t count = 0;
  for (const int64_t i : wanted) {
    needs.clear();
    step.needs(i, needs);
    for (const Need& need : needs) {
      std::vector<int64_t>& list = lists[need.input];
      if (!list.empty() && list.back() == need.element) continue;
      charge(count, 1);
      list.push_back(need.element);
    }
  }
  return lists;
}

}  // namespace

size_t Steps::add(Step step) {
  constexpr size_t kMostAxes = 8;
  constexpr int64_t kMost = int64_t{1} << 40;
  int64_t count = 1;
  for (const int64_t dim : step.shape) {
    if (dim < 0 || step.shape.size() > kMostAxes || __builtin_mul_overflow(count, dim, &count) || count > kMost) {
      throw bad_input("a value of shape {} is not expected here", to_string(step.shape));
    }
  }
  fold(step);
  steps_.push_back(std::move(step));
  return steps_.size() - 1;
}

void Steps::fold(Step& step) {
  if (step.source) return;
  const int64_t count = element_count(step.shape);
  const bool all_constant =
      std::all_of(step.inputs.begin(), step.inputs.end(), [&](size_t in) { return steps_[in].is_constant; });
  if (!all_constant || count > kMostFolded) return;
  std::vector<double> values;
  std::vector<Need> needs;
  std::vector<double> operands;
  for (int64_t i = 0; i < count; ++i) {
    needs.clear();
    operands.clear();
    step.needs(i, needs);
    if (static_cast<int64_t>(needs.size()) > kMostFolded) return;  // computed if it is asked for
    for (const Need& need : needs) operands.push_back(steps_[step.inputs[need.input]].source(need.element));
    values.push_back(step.combine(operands));
  }
  charge(folded_, values.size());
  step = {std::move(step.shape), {}, {}, {}, {}, true};
  step.source = [values = std::move(values)](int64_t i) { return values[static_cast<size_t>(i)]; };
}

// By step, increasing; empty for steps that are not needed.
std::vector<std::vector<int64_t>> Steps::wanted_for(size_t step, std::span<const int64_t> elements) const {
  std::vector<std::vector<int64_t>> wanted(step + 1);
  merge(wanted[step], {elements.begin(), elements.end()});
  int64_t count = 0;
  for (size_t s = step + 1; s-- > 0;) {
    charge(count, wanted[s].size());
    if (wanted[s].empty() || steps_[s].source) continue;
    std::vector<std::vector<int64_t>> lists = needs_of(steps_[s], wanted[s]);
    for (size_t in = 0; in < lists.size(); ++in) merge(wanted[steps_[s].inputs[in]], std::move(lists[in]));
  }
  return wanted;
}

std::vector<double> Steps::evaluate(size_t step, std::span<const int64_t> elements) const {
  const std::vector<std::vector<int64_t>> wanted = wanted_for(step, elements);
  std::vector<std::vector<double>> values(step + 1);
  std::vector<Need> needs;
  std::vector<double> operands;
  for (size_t s = 0; s <= step; ++s) {
    const Step& current = steps_[s];
    values[s].reserve(wanted[s].size());
    std::vector<Finder> find;
    for (const size_t in : current.inputs) find.emplace_back(wanted[in]);
    for (const int64_t i : wanted[s]) {
      if (current.source) {
        values[s].push_back(current.source(i));
        continue;
      }
      needs.clear();
      operands.clear();
      current.needs(i, needs);
      for (const Need& need : needs)
        operands.push_back(values[current.inputs[need.input]][find[need.input](need.element)]);
      values[s].push_back(current.combine(operands));
    }
  }
  Finder find(wanted[step]);
  std::vector<double> result;
  result.reserve(elements.size());
  for (const int64_t element : elements) result.push_back(values[step][find(element)]);
  return result;
}

std::vector<int64_t> Steps::integers(size_t step) const {
  const Step& constant = steps_[step];
  if (!constant.is_constant) throw bad_input("a shape, an axis or an index depends on the picture or the pose");
  const int64_t count = element_count(constant.shape);
  constexpr double kFarthest = 1e15;  // "to the end" of a slice is the largest number of 63 bits in many a file
  std::vector<int64_t> values;
  for (int64_t i = 0; i < count; ++i) {
    const double value = constant.source(i);
    if (!std::isfinite(value)) throw bad_input("{} is not a whole number", value);
    values.push_back(static_cast<int64_t>(std::clamp(value, -kFarthest, kFarthest)));
  }
  return values;
}

int64_t Steps::integer(size_t step) const {
  const std::vector<int64_t> values = integers(step);
  if (values.size() != 1) throw bad_input("expected one number");
  return values[0];
}

double Steps::number(size_t step) const {
  const Step& constant = steps_[step];
  if (!constant.is_constant || element_count(constant.shape) != 1) throw bad_input("expected one constant number");
  return constant.source(0);
}

size_t required(const StepInputs& in, size_t i) {
  if (i >= in.size() || !in[i]) throw bad_input("input {} is missing", i);
  return *in[i];
}

size_t axis_of(int64_t axis, size_t rank) {
  const int64_t positive = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  if (positive < 0 || positive >= static_cast<int64_t>(rank))
    throw bad_input("axis {} of a value of rank {}", axis, rank);
  return static_cast<size_t>(positive);
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

int64_t AffineIndex::operator()(int64_t i) const {
  int64_t element = base;
  for (size_t d = shape.size(); d-- > 0;) {
    element += i % shape[d] * step[d];
    i /= shape[d];
  }
  return element;
}

Shape broadcast_shape(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) throw bad_input("shapes {} and {} do not broadcast", to_string(a), to_string(b));
    shape[shape.size() - 1 - i] = x == 1 ? y : x;
  }
  return shape;
}

AffineIndex broadcast_index(const Shape& from, const Shape& to) {
  const Shape strides = strides_of(from);
  AffineIndex index{to, Shape(to.size(), 0)};
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t axis = from.size() - 1 - i;
    if (from[axis] != 1) index.step[to.size() - 1 - i] = strides[axis];
  }
  return index;
}

size_t add_moved(Steps& steps, size_t in, Shape shape, std::function<int64_t(int64_t)> index) {
  Step step;
  step.shape = std::move(shape);
  step.inputs = {in};
  step.needs = [index = std::move(index)](int64_t i, std::vector<Need>& needs) { needs.push_back({0, index(i)}); };
  step.combine = [](std::span<const double> values) { return values[0]; };
  return steps.add(std::move(step));
}

size_t add_constant(Steps& steps, Shape shape, std::vector<double> values) {
  Step step;
  step.shape = std::move(shape);
  step.source = [values = std::move(values)](int64_t i) { return values[static_cast<size_t>(i)]; };
  step.is_constant = true;
  return steps.add(std::move(step));
}

std::vector<size_t> add_operator(const OpNode& node, Dialect dialect, const StepInputs& in, Steps& steps) {
  for (const auto add : {&add_arithmetic, &add_move}) {
    const std::optional<std::vector<size_t>> added = add(node, dialect, in, steps);
    if (!added) continue;
    if (added->size() != node.outputs.size()) throw bad_input("{} outputs", node.outputs.size());
    return *added;
  }
  throw bad_input("this operator is not known here");
}

}  // namespace posefix::exporters

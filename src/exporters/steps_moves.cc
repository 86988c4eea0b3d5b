// Operators that move numbers or speak of shapes: every element of the result is one of an input, or known beforehand.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "exporters/steps.h"

namespace posefix::exporters {
namespace {

constexpr int64_t kMostParts = 4096;  // of a list of axes, repetitions or parts

size_t add_affine(Steps& steps, size_t in, AffineIndex index) {
  Shape shape = index.shape;
  return add_moved(steps, in, std::move(shape), std::move(index));
}

size_t add_reshape(Steps& steps, size_t in, std::vector<int64_t> shape, bool zero_copies) {
  const Shape from = steps[in].shape;
  int64_t known = 1;
  std::optional<size_t> free;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0 && zero_copies) shape[i] = i < from.size() ? from[i] : 0;
    if (shape[i] == -1) {
      if (free) throw bad_input("a reshape with two free dimensions");
      free = i;
    } else if (shape[i] < 0 || __builtin_mul_overflow(known, shape[i], &known)) {
      throw bad_input("a reshape to {}", to_string(shape));
    }
  }
  const int64_t count = element_count(from);
  if (free) shape[*free] = known == 0 ? 0 : count / known;
  if (element_count(shape) != count) throw bad_input("a reshape of {} to {}", to_string(from), to_string(shape));
  return add_moved(steps, in, std::move(shape), [](int64_t i) { return i; });
}

size_t add_transpose(Steps& steps, size_t in, const std::vector<int64_t>& order) {
  const Shape& from = steps[in].shape;
  if (order.size() != from.size()) throw bad_input("a transpose by {} axes of rank {}", order.size(), from.size());
  const Shape strides = strides_of(from);
  std::vector<bool> used(order.size(), false);
  AffineIndex index;
  for (const int64_t axis_number : order) {
    const size_t axis = axis_of(axis_number, from.size());
    if (used[axis]) throw bad_input("a transpose that uses axis {} twice", axis);
    used[axis] = true;
    index.shape.push_back(from[axis]);
    index.step.push_back(strides[axis]);
  }
  return add_affine(steps, in, std::move(index));
}

// The parts one behind the other along an axis.
size_t add_concat(Steps& steps, const std::vector<size_t>& parts, int64_t axis_number) {
  if (parts.empty()) throw bad_input("a concatenation of nothing");
  Step step;
  step.shape = steps[parts[0]].shape;
  const size_t axis = axis_of(axis_number, step.shape.size());
  std::vector<int64_t> ends;
  int64_t end = 0;
  for (const size_t part : parts) {
    Shape shape = steps[part].shape;
    if (shape.size() != step.shape.size()) throw bad_input("the parts' ranks differ");
    end += shape[axis];
    ends.push_back(end);
    shape[axis] = step.shape[axis];
    if (shape != step.shape) throw bad_input("the parts' shapes differ");
  }
  const int64_t inner = strides_of(step.shape)[axis];
  step.shape[axis] = end;
  step.inputs = parts;
  step.needs = [ends, inner](int64_t i, std::vector<Need>& needs) {
    const int64_t whole = ends.back();
    const int64_t position = i / inner % whole;
    const auto part = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), position) - ends.begin());
    const int64_t begin = part == 0 ? 0 : ends[part - 1];
    const int64_t size = ends[part] - begin;
    needs.push_back({part, (i / inner / whole * size + position - begin) * inner + i % inner});
  };
  step.combine = [](std::span<const double> values) { return values[0]; };
  return steps.add(std::move(step));
}

size_t add_take(Steps& steps, size_t in, size_t indices, int64_t axis_number) {
  const Shape& from = steps[in].shape;
  const size_t axis = axis_of(axis_number, from.size());
  const int64_t length = from[axis];
  const int64_t inner = strides_of(from)[axis];
  if (element_count(steps[indices].shape) > kMostElements) throw bad_input("too many indices");
  std::vector<int64_t> chosen = steps.integers(indices);
  for (int64_t& index : chosen) {
    if (index < -length || index >= length) throw bad_input("index {} of {}", index, length);
    if (index < 0) index += length;
  }
  Shape shape(from.begin(), from.begin() + static_cast<ptrdiff_t>(axis));
  shape.insert(shape.end(), steps[indices].shape.begin(), steps[indices].shape.end());
  shape.insert(shape.end(), from.begin() + static_cast<ptrdiff_t>(axis) + 1, from.end());
  return add_moved(steps, in, std::move(shape), [chosen, inner, length](int64_t i) {
    const auto count = static_cast<int64_t>(chosen.size());
    return (i / inner / count * length + chosen[static_cast<size_t>(i / inner % count)]) * inner + i % inner;
  });
}

struct Range {
  int64_t begin;
  int64_t end;
  int64_t step;
};

std::vector<Range> whole_ranges(const Shape& shape) {
  std::vector<Range> ranges;
  for (const int64_t size : shape) ranges.push_back({0, size, 1});
  return ranges;
}

// x[begin:end:step] along every axis; ends are clamped as in numpy.
size_t add_slice(Steps& steps, size_t in, std::vector<Range> ranges) {
  const Shape& from = steps[in].shape;
  const Shape strides = strides_of(from);
  AffineIndex index;
  for (size_t d = 0; d < from.size(); ++d) {
    Range& range = ranges[d];
    const int64_t size = from[d];
    if (range.step == 0) throw bad_input("a slice with step 0");
    if (range.begin < 0) range.begin = std::max<int64_t>(range.begin + size, range.step < 0 ? -1 : 0);
    if (range.end < 0) range.end = std::max<int64_t>(range.end + size, -1);
    const int64_t low = range.step < 0 ? -1 : 0;
    const int64_t high = range.step < 0 ? size - 1 : size;
    range.begin = std::clamp(range.begin, low, high);
    range.end = std::clamp(range.end, low, high);
    const int64_t span = range.step > 0 ? range.end - range.begin : range.begin - range.end;
    const int64_t count = span <= 0 ? 0 : (span - 1) / std::abs(range.step) + 1;
    index.shape.push_back(count);
    index.step.push_back(count <= 1 ? 0 : strides[d] * range.step);
    index.base += strides[d] * (count == 0 ? 0 : range.begin);
  }
  return add_affine(steps, in, std::move(index));
}

size_t add_strided_slice(Steps& steps, const OpNode& node, const StepInputs& in) {
  const Shape from = steps[required(in, 0)].shape;
  const std::vector<int64_t> begin = steps.integers(required(in, 1));
  const std::vector<int64_t> end = steps.integers(required(in, 2));
  const std::vector<int64_t> step = steps.integers(required(in, 3));
  if (node.integer("ellipsis_mask", 0) != 0 || node.integer("new_axis_mask", 0) != 0) {
    throw bad_input("ellipsis and new axes are not read");
  }
  if (begin.size() != end.size() || begin.size() != step.size() || begin.size() > from.size()) {
    throw bad_input("a slice of {} axes of rank {}", begin.size(), from.size());
  }
  const auto masked = [&](const char* mask, size_t d) { return ((node.integer(mask, 0) >> d) & 1) != 0; };
  std::vector<Range> ranges = whole_ranges(from);
  for (size_t d = 0; d < begin.size(); ++d) {
    const bool one = masked("shrink_axis_mask", d);
    ranges[d].step = one ? 1 : step[d];
    if (one || !masked("begin_mask", d)) ranges[d].begin = begin[d];
    if (!masked("end_mask", d)) ranges[d].end = end[d];
    if (ranges[d].step < 0 && (masked("begin_mask", d) || masked("end_mask", d))) {
      throw bad_input("a reversed open slice");
    }
    if (one) ranges[d].end = begin[d] == -1 ? from[d] : begin[d] + 1;
  }
  const size_t sliced = add_slice(steps, required(in, 0), std::move(ranges));
  Shape shape;
  for (size_t d = 0; d < from.size(); ++d) {
    if (d >= begin.size() || !masked("shrink_axis_mask", d)) shape.push_back(steps[sliced].shape[d]);
  }
  return add_reshape(steps, sliced, std::move(shape), false);
}

size_t add_onnx_slice(Steps& steps, const StepInputs& in) {
  const Shape& from = steps[required(in, 0)].shape;
  const std::vector<int64_t> begin = steps.integers(required(in, 1));
  const std::vector<int64_t> end = steps.integers(required(in, 2));
  std::vector<int64_t> axes;
  for (size_t i = 0; i < begin.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (in.size() > 3 && in[3]) axes = steps.integers(*in[3]);
  std::vector<int64_t> step(begin.size(), 1);
  if (in.size() > 4 && in[4]) step = steps.integers(*in[4]);
  if (end.size() != begin.size() || axes.size() != begin.size() || step.size() != begin.size()) {
    throw bad_input("the slice's inputs differ in length");
  }
  std::vector<Range> ranges = whole_ranges(from);
  for (size_t i = 0; i < axes.size(); ++i) ranges[axis_of(axes[i], from.size())] = {begin[i], end[i], step[i]};
  return add_slice(steps, required(in, 0), std::move(ranges));
}

std::vector<size_t> add_split(Steps& steps, const OpNode& node, const StepInputs& in) {
  const Shape from = steps[required(in, 0)].shape;
  const size_t axis = axis_of(node.integer("axis", 0), from.size());
  const auto parts = static_cast<int64_t>(node.outputs.size());
  if (parts == 0) throw bad_input("a split without results");
  std::vector<int64_t> sizes(node.outputs.size(), from[axis] / parts);
  if (in.size() > 1 && in[1]) sizes = steps.integers(*in[1]);
  std::vector<size_t> outputs;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    if (size < 0 || size > from[axis] - at) throw bad_input("the split does not add up");
    std::vector<Range> ranges = whole_ranges(from);
    ranges[axis] = {at, at + size, 1};
    outputs.push_back(add_slice(steps, required(in, 0), std::move(ranges)));
    at += size;
  }
  if (at != from[axis]) throw bad_input("the split does not add up");
  return outputs;
}

size_t add_unsqueeze(Steps& steps, size_t in, const std::vector<int64_t>& axes) {
  const Shape from = steps[in].shape;
  if (static_cast<int64_t>(axes.size()) > kMostParts) throw bad_input("{} new axes", axes.size());
  Shape shape(from.size() + axes.size(), -1);
  for (const int64_t axis : axes) shape[axis_of(axis, shape.size())] = 1;
  size_t next = 0;
  for (int64_t& dim : shape) {
    if (dim == -1 && next < from.size()) dim = from[next++];
  }
  return add_reshape(steps, in, std::move(shape), false);
}

size_t add_squeeze(Steps& steps, size_t in, const std::vector<int64_t>& axes) {
  const Shape from = steps[in].shape;
  Shape shape;
  for (size_t d = 0; d < from.size(); ++d) {
    const bool listed = std::any_of(axes.begin(), axes.end(), [&](int64_t a) { return axis_of(a, from.size()) == d; });
    if (!(listed || (axes.empty() && from[d] == 1))) shape.push_back(from[d]);
  }
  return add_reshape(steps, in, std::move(shape), false);
}

// start, start + delta, ... before limit: ONNX's Range.
size_t add_range(Steps& steps, double start, double limit, double delta) {
  constexpr double kLongest = 65536;  // no picture is as wide
  const double count = std::max(std::ceil((limit - start) / delta), 0.0);
  if (!(count <= kLongest)) throw bad_input("a range from {} to {} by {}", start, limit, delta);
  Step step;
  step.shape = {static_cast<int64_t>(count)};
  step.source = [start, delta](int64_t i) { return start + static_cast<double>(i) * delta; };
  step.is_constant = true;
  return steps.add(std::move(step));
}

size_t add_tile(Steps& steps, size_t in, const std::vector<int64_t>& times) {
  const Shape from = steps[in].shape;
  if (times.size() != from.size()) throw bad_input("{} repetitions of rank {}", times.size(), from.size());
  Shape shape = from;
  for (size_t d = 0; d < times.size(); ++d) {
    if (times[d] < 0 || __builtin_mul_overflow(shape[d], times[d], &shape[d])) {
      throw bad_input("{} repetitions", times[d]);
    }
  }
  return add_moved(steps, in, shape, [from, shape, strides = strides_of(from)](int64_t i) {
    int64_t element = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      element += i % shape[d] % from[d] * strides[d];
      i /= shape[d];
    }
    return element;
  });
}

size_t add_expanded(Steps& steps, size_t in, const std::vector<int64_t>& to) {
  return add_affine(steps, in, broadcast_index(steps[in].shape, broadcast_shape(steps[in].shape, to)));
}

size_t add_pack(Steps& steps, const StepInputs& in, int64_t axis) {
  std::vector<size_t> parts;
  for (size_t i = 0; i < in.size(); ++i) parts.push_back(add_unsqueeze(steps, required(in, i), {axis}));
  return add_concat(steps, parts, axis);
}

std::vector<size_t> all_required(const StepInputs& in, size_t count) {
  std::vector<size_t> all;
  for (size_t i = 0; i < count; ++i) all.push_back(required(in, i));
  return all;
}

std::vector<int64_t> axes_of(const OpNode& node, const StepInputs& in, const Steps& steps, const char* attribute) {
  return in.size() > 1 && in[1] ? steps.integers(*in[1]) : node.integers(attribute, {});
}

size_t add_transpose_of(Steps& steps, const OpNode& node, Dialect dialect, const StepInputs& in) {
  const size_t x = required(in, 0);
  if (dialect == Dialect::kTensorFlow) return add_transpose(steps, x, steps.integers(required(in, 1)));
  std::vector<int64_t> reversed;
  for (size_t i = steps[x].shape.size(); i-- > 0;) reversed.push_back(static_cast<int64_t>(i));
  return add_transpose(steps, x, node.integers("perm", reversed));
}

using Rule = size_t (*)(const OpNode&, Dialect, const StepInputs&, Steps&);

const std::map<std::string, Rule, std::less<>>& moves() {
  using N = const OpNode&;
  using In = const StepInputs&;
  static const std::map<std::string, Rule, std::less<>> rules{
      {"Reshape",
       [](N n, Dialect d, In in, Steps& s) {
         const bool zero_copies = d == Dialect::kOnnx && n.integer("allowzero", 0) == 0;
         return add_reshape(s, required(in, 0), s.integers(required(in, 1)), zero_copies);
       }},
      {"Transpose", [](N n, Dialect d, In in, Steps& s) { return add_transpose_of(s, n, d, in); }},
      {"ConcatV2",
       [](N, Dialect, In in, Steps& s) {
         const size_t parts = in.empty() ? 0 : in.size() - 1;
         return add_concat(s, all_required(in, parts), s.integer(required(in, parts)));
       }},
      {"Concat",
       [](N n, Dialect, In in, Steps& s) { return add_concat(s, all_required(in, in.size()), n.integer("axis", 0)); }},
      {"Gather", [](N n, Dialect, In in,
                    Steps& s) { return add_take(s, required(in, 0), required(in, 1), n.integer("axis", 0)); }},
      {"GatherV2", [](N, Dialect, In in,
                      Steps& s) { return add_take(s, required(in, 0), required(in, 1), s.integer(required(in, 2))); }},
      {"StridedSlice", [](N n, Dialect, In in, Steps& s) { return add_strided_slice(s, n, in); }},
      {"Slice", [](N, Dialect, In in, Steps& s) { return add_onnx_slice(s, in); }},
      {"Unsqueeze",
       [](N n, Dialect, In in, Steps& s) { return add_unsqueeze(s, required(in, 0), axes_of(n, in, s, "axes")); }},
      {"ExpandDims",
       [](N n, Dialect, In in, Steps& s) { return add_unsqueeze(s, required(in, 0), axes_of(n, in, s, "axes")); }},
      {"Squeeze",
       [](N n, Dialect d, In in, Steps& s) {
         return add_squeeze(s, required(in, 0), axes_of(n, in, s, d == Dialect::kOnnx ? "axes" : "squeeze_dims"));
       }},
      {"Tile", [](N, Dialect, In in, Steps& s) { return add_tile(s, required(in, 0), s.integers(required(in, 1))); }},
      {"Expand",
       [](N, Dialect, In in, Steps& s) { return add_expanded(s, required(in, 0), s.integers(required(in, 1))); }},
      {"BroadcastTo",
       [](N, Dialect, In in, Steps& s) { return add_expanded(s, required(in, 0), s.integers(required(in, 1))); }},
      {"Shape",
       [](N, Dialect, In in, Steps& s) {
         const Shape shape = s[required(in, 0)].shape;
         return add_constant(s, {static_cast<int64_t>(shape.size())}, {shape.begin(), shape.end()});
       }},
      {"Range",
       [](N, Dialect, In in, Steps& s) {
         return add_range(s, s.number(required(in, 0)), s.number(required(in, 1)), s.number(required(in, 2)));
       }},
      {"Pack", [](N n, Dialect, In in, Steps& s) { return add_pack(s, in, n.integer("axis", 0)); }},
      {"ConstantOfShape",
       [](N n, Dialect, In in, Steps& s) {
         const size_t value = add_constant(s, {}, {n.number("value", 0)});
         return add_moved(s, value, s.integers(required(in, 0)), [](int64_t) { return int64_t{0}; });
       }},
      {"Fill", [](N, Dialect, In in, Steps& s) {
         const size_t value = required(in, 1);
         if (element_count(s[value].shape) != 1) throw bad_input("expected one number");
         return add_moved(s, value, s.integers(required(in, 0)), [](int64_t) { return int64_t{0}; });
       }}};
  return rules;
}

}  // namespace

std::optional<std::vector<size_t>> add_move(const OpNode& node, Dialect dialect, const StepInputs& in, Steps& steps) {
  if (node.op == "Split" && dialect == Dialect::kOnnx) return add_split(steps, node, in);
  const auto found = moves().find(node.op);
  if (found == moves().end()) return std::nullopt;
  return {{found->second(node, dialect, in, steps)}};
}

}  // namespace posefix::exporters

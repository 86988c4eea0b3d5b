#include "compiler/int8/twins.h"

#include <cmath>

#include "compiler/int8/quantisation.h"
#include "compiler/int8/trial.h"

namespace posefix::compiler {
namespace {

using plan::Op;
using plan::Step;

constexpr int64_t kBatch = 2;

size_t at(int32_t id) { return static_cast<size_t>(id); }

std::string kept_name(size_t step, size_t twin) { return std::to_string(step) + ":" + std::to_string(twin); }

// The convolution alone, with a result of its own that is kept.
Step twin_of(Program& program, const Step& step, int32_t input, const std::string& kept) {
  const plan::TensorInfo out = program.plan.tensors[at(step.output)];
  Step twin = step;
  twin.relu = false;
  twin.has_residual = false;
  twin.inputs = {input};
  twin.output = program.add_tensor(kept, out.height, out.width, out.channels);
  program.plan.kept.push_back({kept, twin.output});
  return twin;
}

// Twins of the steps with index begin <= i < end of `steps`.
Program with_twins(const Program& program, const std::vector<size_t>& steps, size_t begin, size_t end,
                   const std::vector<Ranges>& ranges) {
  const std::vector<bool> is_signed = signed_tensors(program.plan);
  Program result = program;
  result.plan.kept.clear();
  result.plan.steps.clear();
  result.plan.metadata.precision = "int8";
  for (size_t s = 0; s < program.plan.steps.size(); ++s) {
    const Step& step = program.plan.steps[s];
    const bool has_twins =
        std::find(steps.begin() + static_cast<ptrdiff_t>(begin), steps.begin() + static_cast<ptrdiff_t>(end), s) !=
        steps.begin() + static_cast<ptrdiff_t>(end);
    const int32_t input = step.inputs.empty() ? -1 : step.inputs[0];
    if (has_twins && ranges[at(input)][0] > 0) {
      result.plan.steps.push_back(twin_of(result, step, input, kept_name(s, kRanges)));
      for (size_t r = 0; r < kRanges; ++r) {
        const plan::TensorInfo from = result.plan.tensors[at(input)];
        Step convert;
        convert.op = Op::kConvert;
        convert.name = kept_name(s, r) + "/int8";
        convert.inputs = {input};
        convert.output = result.add_tensor(convert.name, from.height, from.width, from.channels);
        set_range(result.plan.tensors[at(convert.output)], is_signed[at(input)], ranges[at(input)][r]);
        Step twin = twin_of(result, step, convert.output, kept_name(s, r));
        quantise_weights(result, twin);
        result.plan.steps.push_back(std::move(convert));
        result.plan.steps.push_back(std::move(twin));
      }
    }
    result.plan.steps.push_back(step);
  }
  return result;
}

// Sums over persons and pixels of one twin's error, by output channel.
struct Sums {
  std::vector<double> error;
  double square_error = 0;
  double square = 0;
  int64_t pixels = 0;

  void add(const std::vector<float>& found, const std::vector<float>& expected, size_t channels) {
    error.resize(channels, 0.0);
    for (size_t i = 0; i < found.size(); i += channels) {
      for (size_t c = 0; c < channels; ++c) {
        const double off = double{found[i + c]} - double{expected[i + c]};
        error[c] += off;
        square_error += off * off;
        square += double{expected[i + c]} * double{expected[i + c]};
      }
    }
    pixels += static_cast<int64_t>(found.size() / channels);
  }

  TwinError result() const {
    TwinError twin;
    double left = square_error;
    for (const double sum : error) {
      const double mean = sum / static_cast<double>(pixels);
      twin.shift.push_back(static_cast<float>(mean));
      left -= mean * sum;
    }
    twin.relative = square > 0 ? std::sqrt(std::max(0.0, left) / square) : 0;
    return twin;
  }
};

}  // namespace

std::vector<std::array<TwinError, kRanges>> measure_twins(const Program& program, const std::vector<size_t>& steps,
                                                          const std::vector<Ranges>& ranges, const Persons& persons,
                                                          int64_t count) {
  std::vector<std::array<TwinError, kRanges>> results(steps.size());
  size_t begin = 0;
  while (begin < steps.size()) {
    size_t end = begin;
    for (uint64_t bytes = 0; end < steps.size(); ++end) {
      bytes += (kRanges + 1) * program.plan.tensors[at(program.plan.steps[steps[end]].output)].bytes;
      if (bytes > kKeptBytes && end > begin) break;
    }
    const auto session = open_trial(with_twins(program, steps, begin, end, ranges), kBatch);
    std::vector<std::array<Sums, kRanges>> sums(end - begin);
    answers(*session, persons, count, [&](int64_t) {
      for (size_t i = begin; i < end; ++i) {
        const Step& step = program.plan.steps[steps[i]];
        if (!(ranges[at(step.inputs[0])][0] > 0)) continue;
        const auto channels = static_cast<size_t>(program.plan.tensors[at(step.output)].channels);
        const std::vector<float> expected = session->kept(kept_name(steps[i], kRanges));
        for (size_t r = 0; r < kRanges; ++r) {
          sums[i - begin][r].add(session->kept(kept_name(steps[i], r)), expected, channels);
        }
      }
    });
    for (size_t i = begin; i < end; ++i) {
      for (size_t r = 0; r < kRanges; ++r) {
        if (sums[i - begin][r].pixels > 0) results[i][r] = sums[i - begin][r].result();
      }
    }
    begin = end;
  }
  return results;
}

}  // namespace posefix::compiler

#include "compiler/int8/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "compiler/int8/quantisation.h"
#include "compiler/int8/ranges.h"
#include "compiler/int8/trial.h"
#include "compiler/int8/twins.h"

namespace posefix::compiler {
namespace {

constexpr int64_t kBatch = 4;
constexpr int64_t kTwinPersons = 24;        // whose twins are compared
constexpr int64_t kSensitivityPersons = 8;  // for the order of falling back
constexpr double kLargestI8 = 127;
constexpr double kLargestU8 = 255;

size_t at(int32_t id) { return static_cast<size_t>(id); }

class Calibrator {
 public:
  Calibrator(const Program& program, const Int8Request& request, Int8Report& report)
      : program_(program), request_(request), report_(report), steps_(quantisable_steps(program.plan)) {}

  Program run() {
    measure_ranges();
    choose_ranges();
    held_out_f32_ = answers(*open_trial(program_, kBatch), request_.held_out, request_.held_out.size);
    report_.backend = runtime::cpu_computes("int8") ? "cpu" : "reference";
    report_.drop = drop_of(quantisation_);
    if (!(report_.drop <= request_.max_drop)) fall_back();
    return quantise(program_, quantisation_);
  }

 private:
  void say(const std::string& line) const {
    if (request_.on_progress) request_.on_progress(line);
  }

  void measure_ranges() {
    const plan::Plan& plan = program_.plan;
    const std::vector<bool> is_signed = signed_tensors(plan);
    std::vector<int32_t> wanted;
    for (const size_t s : steps_) {
      wanted.push_back(plan.steps[s].inputs[0]);
      wanted.push_back(plan.steps[s].output);
    }
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    ranges_.assign(plan.tensors.size(), {});
    for (size_t begin = 0; begin < wanted.size();) {
      Program keeping = program_;
      keeping.plan.kept.clear();
      size_t end = begin;
      for (uint64_t bytes = 0; end < wanted.size(); ++end) {
        bytes += plan.tensors[at(wanted[end])].bytes;
        if (bytes > kKeptBytes && end > begin) break;
        keeping.plan.kept.push_back({std::to_string(wanted[end]), wanted[end]});
      }
      say(fmt::format("ranges of {} maps on {} crops", end - begin, request_.calibration.size));
      std::vector<MagnitudeHistogram> histograms(end - begin);
      const auto session = open_trial(std::move(keeping), kBatch);
      answers(*session, request_.calibration, request_.calibration.size, [&](int64_t) {
        for (size_t i = begin; i < end; ++i) histograms[i - begin].add(session->kept(std::to_string(wanted[i])));
      });
      for (size_t i = begin; i < end; ++i) {
        const auto t = at(wanted[i]);
        ranges_[t] = histograms[i - begin].ranges(is_signed[t] ? kLargestI8 : kLargestU8);
      }
      begin = end;
    }
  }

  // One range for a map that several convolutions read: the least sum of their squared relative errors.
  void choose_ranges() {
    const plan::Plan& plan = program_.plan;
    const int64_t persons = std::min(kTwinPersons, request_.calibration.size);
    say(fmt::format("error of {} convolutions in int8 on {} crops", steps_.size(), persons));
    const auto twins = measure_twins(program_, steps_, ranges_, request_.calibration, persons);
    std::vector<Ranges> errors(plan.tensors.size(), Ranges{});
    for (size_t i = 0; i < steps_.size(); ++i) {
      Ranges& sums = errors[at(plan.steps[steps_[i]].inputs[0])];
      for (size_t r = 0; r < kRanges; ++r) sums[r] += twins[i][r].relative * twins[i][r].relative;
    }
    constexpr size_t kMeanSquare = 2;
    std::vector<size_t> choice(plan.tensors.size(), kMeanSquare);
    for (size_t t = 0; t < choice.size(); ++t) {
      const auto least = std::min_element(errors[t].begin(), errors[t].end());
      const bool is_read = *std::max_element(errors[t].begin(), errors[t].end()) > 0;
      if (is_read) choice[t] = static_cast<size_t>(least - errors[t].begin());
    }
    quantisation_.largest.resize(plan.tensors.size());
    for (size_t t = 0; t < choice.size(); ++t) quantisation_.largest[t] = ranges_[t][choice[t]];
    quantisation_.in_f32.assign(plan.steps.size(), false);
    quantisation_.bias_shift.resize(plan.steps.size());
    for (size_t i = 0; i < steps_.size(); ++i) {
      const size_t r = choice[at(plan.steps[steps_[i]].inputs[0])];
      std::vector<float> shift = twins[i][r].shift;
      for (float& value : shift) value = -value;
      quantisation_.bias_shift[steps_[i]] = std::move(shift);
      QuantisedLayer layer;
      layer.name = plan.steps[steps_[i]].name;
      layer.range = kRangeNames[r];
      layer.error = twins[i][r].relative;
      report_.layers.push_back(std::move(layer));
    }
  }

  // Also notes the difference in px.
  double drop_of(const Quantisation& quantisation) {
    const auto session = open_trial(quantise(program_, quantisation), kBatch);
    const Difference apart = difference(answers(*session, request_.held_out, request_.held_out.size), held_out_f32_);
    report_.mean_px = apart.mean_px;
    report_.worst_px = apart.worst_px;
    return request_.drop ? request_.drop(*session) : apart.mean_px;
  }

  void measure_sensitivity() {
    const Persons& persons = request_.calibration;
    const int64_t count = std::min(kSensitivityPersons, persons.size);
    const std::vector<float> expected = answers(*open_trial(program_, kBatch), persons, count);
    for (size_t i = 0; i < steps_.size(); ++i) {
      say(fmt::format("sensitivity of {} ({} of {})", report_.layers[i].name, i + 1, steps_.size()));
      Quantisation alone = quantisation_;
      alone.in_f32.assign(alone.in_f32.size(), true);
      alone.in_f32[steps_[i]] = false;
      const auto session = open_trial(quantise(program_, alone), kBatch);
      report_.layers[i].sensitivity_px = difference(answers(*session, persons, count), expected).mean_px;
    }
  }

  // The fewest layers in f32, from the most sensitive on, with which the limit holds; by halving.
  void fall_back() {
    say(fmt::format("drop {:.4g}, more than {:.4g} allowed: convolutions go back to f32", report_.drop,
                    request_.max_drop));
    measure_sensitivity();
    std::vector<size_t> order(steps_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return report_.layers[a].sensitivity_px > report_.layers[b].sensitivity_px;
    });
    const auto with_first = [&](size_t count) {
      Quantisation result = quantisation_;
      for (size_t i = 0; i < count; ++i) result.in_f32[steps_[order[i]]] = true;
      return result;
    };
    size_t too_few = 0;
    size_t enough = order.size();
    while (enough - too_few > 1) {
      const size_t middle = (too_few + enough) / 2;
      const double drop = drop_of(with_first(middle));
      say(fmt::format("{} of {} in f32: drop {:.4g}", middle, order.size(), drop));
      (drop <= request_.max_drop ? enough : too_few) = middle;
    }
    quantisation_ = with_first(enough);
    report_.drop = drop_of(quantisation_);
    if (!(report_.drop <= request_.max_drop)) {
      throw failed("--max-drop {}: with every convolution back in f32 the drop is {:.4g}", request_.max_drop,
                   report_.drop);
    }
    for (size_t i = 0; i < enough; ++i) report_.layers[order[i]].in_f32 = true;
  }

  const Program& program_;
  const Int8Request& request_;
  Int8Report& report_;
  std::vector<size_t> steps_;
  std::vector<Ranges> ranges_;  // by tensor
  Quantisation quantisation_;
  std::vector<float> held_out_f32_;
};

}  // namespace

Program calibrate_int8(const Program& program, const Int8Request& request, Int8Report& report) {
  if (request.calibration.size == 0 || request.held_out.size == 0) {
    throw bad_input("--precision int8 needs crops to calibrate on: give --calibration DIR with pictures");
  }
  return Calibrator(program, request, report).run();
}

}  // namespace posefix::compiler

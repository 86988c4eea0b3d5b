#include "exporters/probe.h"

#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "exporters/interpreter.h"

namespace posefix::exporters {
namespace {

constexpr double kPeak = 255;

std::string list_inputs(const OpGraph& file) {
  std::string text;
  for (const OpInput& input : file.inputs)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", input.name, to_string(input.shape));
  return text;
}

// Offset of pixel (y, x) of joint k of person 0.
size_t pixel(Layout layout, int64_t height, int64_t width, int64_t joints, int64_t y, int64_t x, int64_t k) {
  return static_cast<size_t>(layout == Layout::kNhwc ? (y * width + x) * joints + k : (k * height + y) * width + x);
}

Shape map_shape(const Inputs& in, Layout layout, int64_t height, int64_t width) {
  if (layout == Layout::kNhwc) return {in.batch, height, width, in.joints};
  return {in.batch, in.joints, height, width};
}

}  // namespace

Inputs find_inputs(const OpGraph& file) {
  constexpr int64_t kMaxSide = 4096;
  constexpr int64_t kMaxJoints = 1024;
  Inputs found;
  for (const OpInput& input : file.inputs) {
    const Shape& s = input.shape;
    if (s.size() == 4 && (s[3] == 3 || s[1] == 3)) {
      found.image = input.name;
      found.layout = s[3] == 3 ? Layout::kNhwc : Layout::kNchw;
      found.height = s[found.layout == Layout::kNhwc ? 1 : 2];
      found.width = s[found.layout == Layout::kNhwc ? 2 : 3];
      found.batch = s[0] > 0 ? s[0] : 1;
    } else if (s.size() == 3 && s[2] == 2) {
      found.pose = input.name;
      found.joints = s[1];
    } else if (s.size() == 2) {
      found.valid = input.name;
    }
  }
  const bool complete = file.inputs.size() == 3 && !found.image.empty() && !found.pose.empty() && !found.valid.empty();
  const bool sized = found.height >= 16 && found.width >= 16 && found.height <= kMaxSide && found.width <= kMaxSide &&
                     found.joints > 0 && found.joints <= kMaxJoints && found.batch <= 1024 &&
                     found.batch * found.height * found.width * found.joints <= int64_t{1} << 24;
  if (!complete || !sized) {
    throw bad_input(
        "{}: expected inputs image [B,H,W,3] or [B,3,H,W], pose [B,K,2] and valid [B,K] of known size; found {}",
        file.source, list_inputs(file));
  }
  return found;
}

double probe_rendering(const OpGraph& file, const Inputs& in, const std::string& value, Layout layout) {
  Array pose{{in.batch, in.joints, 2}, std::vector<double>(static_cast<size_t>(in.batch * in.joints * 2))};
  Array valid{{in.batch, in.joints}, std::vector<double>(static_cast<size_t>(in.batch * in.joints), 1.0)};
  Rng rng(7, 0, 0);
  for (int64_t i = 0; i < in.batch * in.joints; ++i) {
    pose.values[static_cast<size_t>(2 * i)] =
        std::floor(rng.uniform() * static_cast<double>(in.width - 8)) + 0.25 * static_cast<double>(i % 4);
    pose.values[static_cast<size_t>(2 * i + 1)] =
        std::floor(rng.uniform() * static_cast<double>(in.height)) + 0.5 * static_cast<double>(i % 2);
    if (i % 3 == 2) valid.values[static_cast<size_t>(i)] = 0;
  }
  Interpreter interpreter(file, {{in.pose, pose}, {in.valid, valid}});
  const Array& map = interpreter.value(value);
  // A flip test's mirrored persons may follow those that were given; person 0 tells what the rendering is.
  Shape shape = map.shape;
  if (shape.size() == 4 && shape[0] >= in.batch) shape[0] = in.batch;
  if (shape != map_shape(in, layout, in.height, in.width)) {
    throw bad_input("{}: '{}' is {}, expected the rendered pose {}", file.source, value, to_string(map.shape),
                    to_string(map_shape(in, layout, in.height, in.width)));
  }
  // Joint 0 stands on a whole pixel: its peak there, and sigma from the pixel two to the right.
  const auto x0 = static_cast<int64_t>(pose.values[0]);
  const auto y0 = static_cast<int64_t>(pose.values[1]);
  const double beside = map.values[pixel(layout, in.height, in.width, in.joints, y0, x0 + 2, 0)];
  const double exact = std::sqrt(-2.0 / std::log(beside / kPeak));  // d = 2: sigma^2 = d^2 / (2 ln(peak / v))
  const double rounded = std::round(exact * 1024) / 1024;
  const double sigma = std::fabs(rounded - exact) < 1e-5 * exact ? rounded : exact;
  if (!std::isfinite(sigma) || sigma <= 0) throw bad_input("{}: '{}' is not a rendered pose", file.source, value);
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < in.width; ++x) {
      for (int64_t k = 0; k < in.joints; ++k) {
        const double dx = static_cast<double>(x) - pose.values[static_cast<size_t>(2 * k)];
        const double dy = static_cast<double>(y) - pose.values[static_cast<size_t>(2 * k + 1)];
        const double expected =
            kPeak * std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)) * valid.values[static_cast<size_t>(k)];
        const double got = map.values[pixel(layout, in.height, in.width, in.joints, y, x, k)];
        if (!(std::fabs(got - expected) <= 1e-3)) {
          throw bad_input(
              "{}: '{}' is not 255*exp(-d^2/(2 sigma^2))*valid: joint {} at pixel ({}, {}) is {}, expected {}",
              file.source, value, k, x, y, got, expected);
        }
      }
    }
  }
  return sigma;
}

double probe_decoding(const OpGraph& file, const Inputs& in, const std::string& logits, Layout layout, int64_t height,
                      int64_t width, const std::string& output) {
  Array map{map_shape(in, layout, height, width), {}};
  map.values.resize(static_cast<size_t>(in.batch * height * width * in.joints));
  Rng rng(11, 0, 0);
  for (double& value : map.values) value = 4 * rng.uniform() - 2;
  for (int64_t k = 0; k < in.joints; ++k) {  // a peak each, so that the answers differ
    map.values[pixel(layout, height, width, in.joints, (3 + 5 * k) % height, (2 + 7 * k) % width, k)] = 12;
  }
  Interpreter interpreter(file, {{logits, map}});
  const Array& coords = interpreter.value(output);
  if (coords.shape != Shape({in.batch, in.joints, 2})) {
    throw bad_input("{}: output '{}' is {}, expected coordinates {}", file.source, output, to_string(coords.shape),
                    to_string(Shape{in.batch, in.joints, 2}));
  }
  double factor = 0;
  for (int64_t k = 0; k < in.joints; ++k) {
    double sum = 0;
    double sum_x = 0;
    double sum_y = 0;
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) {
        const double weight = std::exp(map.values[pixel(layout, height, width, in.joints, y, x, k)]);
        sum += weight;
        sum_x += weight * static_cast<double>(x);
        sum_y += weight * static_cast<double>(y);
      }
    }
    const double got_x = coords.values[static_cast<size_t>(2 * k)];
    const double got_y = coords.values[static_cast<size_t>(2 * k + 1)];
    if (k == 0) {
      factor = got_x / (sum_x / sum);
      const double rounded = std::round(factor * 1024) / 1024;
      if (std::fabs(rounded - factor) < 1e-4 * std::fabs(factor)) factor = rounded;
    }
    const double error = std::fabs(got_x - factor * sum_x / sum) + std::fabs(got_y - factor * sum_y / sum);
    if (!(error <= 1e-3 * std::max(1.0, std::fabs(factor)))) {
      throw bad_input(
          "{}: output '{}' is not the expected position under a softmax: joint {} gives ({}, {}), expected ({}, {})",
          file.source, output, k, got_x, got_y, factor * sum_x / sum, factor * sum_y / sum);
    }
  }
  return factor;
}

}  // namespace posefix::exporters

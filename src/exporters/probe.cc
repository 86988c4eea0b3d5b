#include "exporters/probe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

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

// Element of pixel (y, x) of joint k of person 0, and back.
struct Pixel {
  int64_t y;
  int64_t x;
  int64_t joint;
};
int64_t element_of(Layout layout, int64_t height, int64_t width, int64_t joints, const Pixel& p) {
  return layout == Layout::kNhwc ? (p.y * width + p.x) * joints + p.joint : (p.joint * height + p.y) * width + p.x;
}
Pixel pixel_of(Layout layout, int64_t height, int64_t width, int64_t joints, int64_t element) {
  if (layout == Layout::kNhwc) return {element / joints / width, element / joints % width, element % joints};
  return {element / width % height, element % width, element / width / height};
}

Shape map_shape(const Inputs& in, Layout layout, int64_t height, int64_t width) {
  if (layout == Layout::kNhwc) return {in.batch, height, width, in.joints};
  return {in.batch, in.joints, height, width};
}

// Person 0's values; every later person's are others.
Given per_person(Shape shape, std::vector<double> row) {
  return {std::move(shape), [row = std::move(row)](int64_t i) {
            const auto size = static_cast<int64_t>(row.size());
            return row[static_cast<size_t>((i + i / size) % size)];
          }};
}

// A pose whose first joint stands on a whole pixel, with every third joint not valid.
struct TriedPose {
  std::vector<double> coords;  // [K,2]
  std::vector<double> valid;   // [K]
};
TriedPose tried_pose(const Inputs& in) {
  TriedPose pose;
  Rng rng(7, 0, 0);
  for (int64_t k = 0; k < in.joints; ++k) {
    pose.coords.push_back(std::floor(rng.uniform() * static_cast<double>(in.width - 8)) +
                          0.25 * static_cast<double>(k % 4));
    pose.coords.push_back(std::floor(rng.uniform() * static_cast<double>(in.height)) +
                          0.5 * static_cast<double>(k % 2));
    pose.valid.push_back(k % 3 == 2 ? 0 : 1);
  }
  return pose;
}

// Elements of [0, count), increasing: all of them, or so many that no row, column or joint is left out.
std::vector<int64_t> spread_out(int64_t count) {
  constexpr int64_t kMost = int64_t{1} << 18;
  int64_t step = (count + kMost - 1) / kMost;
  while (std::gcd(step, count) != 1) ++step;
  std::vector<int64_t> elements;
  for (int64_t i = 0; i < count; i += step) elements.push_back(i);
  return elements;
}

// sigma from the value two pixels beside a peak: sigma^2 = d^2 / (2 ln(peak / value)), d = 2.
double sigma_of(double beside) {
  const double exact = std::sqrt(-2.0 / std::log(beside / kPeak));
  const double rounded = std::round(exact * 1024) / 1024;
  return std::fabs(rounded - exact) < 1e-5 * exact ? rounded : exact;
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
                     found.height * found.width * found.joints <= int64_t{1} << 24;
  if (!complete || !sized) {
    throw bad_input(
        "{}: expected inputs image [B,H,W,3] or [B,3,H,W], pose [B,K,2] and valid [B,K] of known size, the pose "
        "rendered within the graph; found {}",
        file.source, list_inputs(file));
  }
  return found;
}

double probe_rendering(const OpGraph& file, const Inputs& in, const std::string& value, Layout layout) {
  const TriedPose pose = tried_pose(in);
  Interpreter interpreter(file, {{in.pose, per_person({in.batch, in.joints, 2}, pose.coords)},
                                 {in.valid, per_person({in.batch, in.joints}, pose.valid)}});
  // A flip test's mirrored persons may follow those that were given; person 0 tells what the rendering is.
  Shape shape = interpreter.shape(value);
  if (shape.size() == 4 && shape[0] >= in.batch) shape[0] = in.batch;
  if (shape != map_shape(in, layout, in.height, in.width)) {
    throw bad_input("{}: '{}' is {}, expected the rendered pose {}", file.source, value,
                    to_string(interpreter.shape(value)), to_string(map_shape(in, layout, in.height, in.width)));
  }
  const Pixel beside{static_cast<int64_t>(pose.coords[1]), static_cast<int64_t>(pose.coords[0]) + 2, 0};
  const int64_t beside_element = element_of(layout, in.height, in.width, in.joints, beside);
  const double sigma = sigma_of(interpreter.elements(value, {&beside_element, 1})[0]);
  if (!std::isfinite(sigma) || sigma <= 0) throw bad_input("{}: '{}' is not a rendered pose", file.source, value);

  constexpr size_t kChunk = size_t{1} << 12;
  const std::vector<int64_t> all = spread_out(in.height * in.width * in.joints);
  for (size_t begin = 0; begin < all.size(); begin += kChunk) {
    const std::span chunk = std::span(all).subspan(begin, std::min(kChunk, all.size() - begin));
    const std::vector<double> got = interpreter.elements(value, chunk);
    for (size_t i = 0; i < chunk.size(); ++i) {
      const Pixel p = pixel_of(layout, in.height, in.width, in.joints, chunk[i]);
      const auto k = static_cast<size_t>(p.joint);
      const double dx = static_cast<double>(p.x) - pose.coords[2 * k];
      const double dy = static_cast<double>(p.y) - pose.coords[2 * k + 1];
      const double expected = kPeak * std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)) * pose.valid[k];
      if (!(std::fabs(got[i] - expected) <= 1e-3)) {
        throw bad_input(
            "{}: '{}' is not 255*exp(-d^2/(2 sigma^2))*valid: joint {} at pixel ({}, {}) is {}, expected {}",
            file.source, value, k, p.x, p.y, got[i], expected);
      }
    }
  }
  return sigma;
}

namespace {

// Heat maps of noise with a peak each, so that the answers differ.
Given tried_logits(const Inputs& in, Layout layout, int64_t height, int64_t width) {
  return {map_shape(in, layout, height, width), [=, joints = in.joints](int64_t i) {
            const Pixel p = pixel_of(layout, height, width, joints, i % (height * width * joints));
            if (p.y == (3 + 5 * p.joint) % height && p.x == (2 + 7 * p.joint) % width) return 12.0;
            return 4 * Rng(11, 0, static_cast<uint64_t>(i)).uniform() - 2;
          }};
}

struct Position {
  double x = 0;
  double y = 0;
};
Position expected_position(const Given& logits, Layout layout, int64_t height, int64_t width, int64_t joints,
                           int64_t joint) {
  double sum = 0;
  Position mean;
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      const double weight = std::exp(logits.element(element_of(layout, height, width, joints, {y, x, joint})));
      sum += weight;
      mean.x += weight * static_cast<double>(x);
      mean.y += weight * static_cast<double>(y);
    }
  }
  return {mean.x / sum, mean.y / sum};
}

}  // namespace

double probe_decoding(const OpGraph& file, const Inputs& in, const std::string& logits, Layout layout, int64_t height,
                      int64_t width, const std::string& output) {
  const Given maps = tried_logits(in, layout, height, width);
  Interpreter interpreter(file, {{logits, maps}});
  const Shape& shape = interpreter.shape(output);
  if (shape != Shape({in.batch, in.joints, 2})) {
    throw bad_input("{}: output '{}' is {}, expected coordinates {}", file.source, output, to_string(shape),
                    to_string(Shape{in.batch, in.joints, 2}));
  }
  double factor = 0;
  for (int64_t k = 0; k < in.joints; ++k) {
    const Position expected = expected_position(maps, layout, height, width, in.joints, k);
    const std::vector<double> got = interpreter.elements(output, std::vector<int64_t>{2 * k, 2 * k + 1});
    if (k == 0) {
      factor = got[0] / expected.x;
      const double rounded = std::round(factor * 1024) / 1024;
      if (std::fabs(rounded - factor) < 1e-4 * std::fabs(factor)) factor = rounded;
    }
    const double error = std::fabs(got[0] - factor * expected.x) + std::fabs(got[1] - factor * expected.y);
    if (!(error <= 1e-3 * std::max(1.0, std::fabs(factor)))) {
      throw bad_input(
          "{}: output '{}' is not the expected position under a softmax: joint {} gives ({}, {}), expected ({}, {})",
          file.source, output, k, got[0], got[1], factor * expected.x, factor * expected.y);
    }
  }
  return factor;
}

}  // namespace posefix::exporters

// Compiled networks of every backbone on the cpu backend: f32 and int8 beside the plain loops of the reference backend,
// bf16 beside f32, every person of a batch as if alone. ctest runs the program again with fewer instructions
// (DNNL_MAX_CPU_ISA).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "compiler/compile.h"
#include "compiler/int8/trial.h"
#include "compiler/testing/golden_network.h"

namespace posefix::compiler {
namespace {

constexpr int64_t kJoints = 17;
constexpr int64_t kPersons = 8;

// A quarter of the width is the least whose f32 maps lie in blocks of channels, a sixteenth has nhwc.
struct Case {
  const char* backbone;
  const char* f32_width;
  int64_t height, width_px;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.backbone << "_" << c.height; }

// Smooth pictures, joints inside and somewhat outside, some invalid.
Persons draw_persons(int64_t count, const Case& c, uint64_t seed) {
  Rng rng(seed, 0, 0);
  Persons persons;
  persons.size = count;
  for (int64_t i = 0; i < count; ++i) {
    const double fx = rng.uniform(0.02, 0.2);
    const double fy = rng.uniform(0.02, 0.2);
    for (int64_t p = 0; p < c.height * c.width_px; ++p) {
      const double wave =
          std::sin(fx * static_cast<double>(p % c.width_px)) * std::cos(fy * static_cast<double>(p / c.width_px));
      for (int channel = 0; channel < 3; ++channel) {
        persons.crops.push_back(static_cast<uint8_t>(120 + 90 * wave + rng.uniform(0, 30)));
      }
    }
    for (int64_t k = 0; k < kJoints; ++k) {
      persons.pose.push_back(static_cast<float>(rng.uniform(-8, static_cast<double>(c.width_px + 8))));
      persons.pose.push_back(static_cast<float>(rng.uniform(-8, static_cast<double>(c.height + 8))));
      persons.valid.push_back(rng.below(6) == 0 ? 0.0F : 1.0F);
    }
  }
  return persons;
}

class NetworkParity : public testing::TestWithParam<Case> {
 protected:
  NetworkParity() : persons_(draw_persons(kPersons, GetParam(), 1)) {}

  std::shared_ptr<const plan::Plan> compiled(const std::string& width, const std::string& precision) const {
    const Case& c = GetParam();
    const graph::Graph graph = model::build(network_config(c.backbone, width, c.height, c.width_px, 7), kJoints);
    Int8Request request;
    request.calibration = draw_persons(1, c, 2);
    request.held_out = request.calibration;
    request.max_drop = 1e9;  // untrained weights: what int8 loses means nothing
    CompileOptions options;
    options.precision = precision;
    options.int8 = &request;
    return compile(graph, formula_weights(graph, 3), {}, options);
  }

  // [first, first + count) of the persons in one batch.
  std::vector<float> run(runtime::Session& session, int64_t first, int64_t count) const {
    const auto part = [&](const auto& all) {
      const size_t each = all.size() / static_cast<size_t>(kPersons);
      return std::span(all).subspan(static_cast<size_t>(first) * each, static_cast<size_t>(count) * each);
    };
    std::vector<float> coords(static_cast<size_t>(count * kJoints * 2));
    session.run({count, part(persons_.crops), part(persons_.pose), part(persons_.valid)}, {coords, {}});
    return coords;
  }

  // Each person's answer alone; those in batches of 3 and 8 are the same.
  std::vector<float> answers_at_every_batch(runtime::Session& session, double tolerance_px) const {
    std::vector<float> alone;
    for (int64_t person = 0; person < kPersons; ++person) {
      const std::vector<float> one = run(session, person, 1);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 8}, {5, 3}}) {
      const auto expected =
          std::span(alone).subspan(static_cast<size_t>(first * kJoints * 2), static_cast<size_t>(count * kJoints * 2));
      EXPECT_LT(difference(run(session, first, count), expected).worst_px, tolerance_px) << "batch of " << count;
    }
    return alone;
  }

  static std::span<const float> first(const std::vector<float>& coords) { return std::span(coords).first(kJoints * 2); }

  Persons persons_;
};

std::unique_ptr<runtime::Session> open(const std::shared_ptr<const plan::Plan>& plan, const std::string& backend) {
  return runtime::open_session(plan, {.backend = backend, .max_batch = kPersons, .threads = 1});
}

TEST_P(NetworkParity, F32EqualsPlainLoops) {
  const auto plan = compiled(GetParam().f32_width, "f32");
  const std::vector<float> found = answers_at_every_batch(*open(plan, "cpu"), 0.01);
  EXPECT_LT(difference(first(found), run(*open(plan, "reference"), 0, 1)).worst_px, 0.05);
}

TEST_P(NetworkParity, Bf16IsNearF32) {
  const auto session = open(compiled("1/16", "bf16"), "cpu");
  EXPECT_EQ(session->info().precision, runtime::cpu_computes("bf16") ? "bf16" : "f32");
  const std::vector<float> found = answers_at_every_batch(*session, 0.1);
  const Difference apart = difference(found, answers_at_every_batch(*open(compiled("1/16", "f32"), "cpu"), 0.01));
  EXPECT_LT(apart.worst_px, 1.0) << "untrained and deep";
  EXPECT_LT(apart.mean_px, 0.15);
}

// What an int8 plan means where it runs in f32: the weights keep the values that they were rounded to, maps are not.
std::shared_ptr<const plan::Plan> with_f32_maps(const plan::Plan& plan) {
  auto wide = std::make_shared<plan::Plan>(plan);
  wide->metadata.precision = "f32";
  for (plan::TensorInfo& map : wide->tensors) {
    map.dtype = DType::kF32;
    map.offset *= sizeof(float);
    map.bytes *= sizeof(float);
  }
  wide->arena_bytes *= sizeof(float);
  return wide;
}

TEST_P(NetworkParity, Int8EqualsPlainLoopsOrRunsInF32) {
  const auto plan = compiled("1/16", "int8");
  const auto session = open(plan, "cpu");
  EXPECT_EQ(session->info().precision, runtime::cpu_computes("int8") ? "int8" : "f32");
  const std::vector<float> found = answers_at_every_batch(*session, 0.05);
  if (session->info().precision == "f32") {
    EXPECT_LT(difference(first(found), run(*open(with_f32_maps(*plan), "reference"), 0, 1)).worst_px, 0.05);
    return;
  }
  // Where a result lies between two codes, f32 and double may round apart, and 150 untrained layers blow it up: by more
  // than a pixel in some persons. Other arithmetic would let no person agree.
  const auto reference = open(plan, "reference");
  double closest_px = 1e9;
  for (int64_t person = 0; person < kPersons && closest_px > 0.1; ++person) {
    const auto part = std::span(found).subspan(static_cast<size_t>(person * kJoints * 2), kJoints * 2);
    closest_px = std::min(closest_px, difference(part, run(*reference, person, 1)).worst_px);
  }
  EXPECT_LT(closest_px, 0.1);
}

INSTANTIATE_TEST_SUITE_P(Backbones, NetworkParity,
                         testing::Values(Case{"resnet50", "1/4", 256, 192}, Case{"resnet50", "1/4", 384, 288},
                                         Case{"resnet101", "1/4", 256, 192}, Case{"resnet101", "1/16", 384, 288},
                                         Case{"resnet152", "1/4", 256, 192}, Case{"resnet152", "1/16", 384, 288}));

}  // namespace
}  // namespace posefix::compiler

// Tuned plans: what is measured, what is stored, what a session makes of it.
#include "compiler/tune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "runtime/session.h"

namespace posefix::compiler {
namespace {

using plan::Choice;
using plan::Method;
using runtime::StepTime;
using testing::HasSubstr;

constexpr double kCoordTolerancePx = 0.05;  // Winograd's forms included

std::shared_ptr<const plan::Plan> small_plan(const std::string& target = "cpu") {
  model::ModelConfig config;
  config.width = "1/4";
  config.input_size = {64, 64};
  const pose::Skeleton skeleton = pose::Skeleton::load("coco17");
  const graph::Graph graph = model::build(config, skeleton.size());
  CompileOptions options;
  options.target = target;
  return compile(graph, model::initialise(graph, 1), {"", skeleton.yaml}, options);
}

struct Answer {
  std::vector<float> coords;
  std::string notice;
};

Answer answer_of(const plan::Plan& plan, int64_t batch, const std::string& backend = "") {
  const auto session =
      runtime::open_session(std::make_shared<plan::Plan>(plan), {.backend = backend, .max_batch = batch, .threads = 1});
  const Persons persons = noise_persons(session->info(), batch);
  Answer answer{std::vector<float>(persons.pose.size()), session->info().tuning_notice};
  std::vector<float> spread(persons.valid.size());
  session->run({batch, persons.crops, persons.pose, persons.valid}, {answer.coords, spread});
  return answer;
}

std::vector<StepTime> steps_of(const plan::Plan& plan, int64_t batch) {
  const auto session = runtime::open_session(std::make_shared<plan::Plan>(plan), {.max_batch = batch, .threads = 1});
  const Persons persons = noise_persons(session->info(), batch);
  return session->measure_steps({batch, persons.crops, persons.pose, persons.valid}, 1);
}

void expect_near(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], kCoordTolerancePx) << i;
}

// The plan with one way for every step that has it.
plan::Plan forced(const plan::Plan& plan, int64_t batch, const std::function<bool(const Choice&)>& wanted) {
  plan::Plan result = plan;
  result.metadata.cpu_features = runtime::cpu_features();
  result.tunings = {{batch, 1, {}}};
  for (const StepTime& step : steps_of(plan, batch)) {
    if (step.candidates.size() < 2) continue;
    for (const Choice& choice : step.candidates) {
      if (wanted(choice)) {
        result.tunings[0].choices.push_back({step.step, choice});
        break;
      }
    }
  }
  return result;
}

TEST(Tune, StoresOneOfTheWaysForEveryStepThatHasSeveral) {
  const auto plan = small_plan();
  std::vector<TuneReport> reports;
  int64_t calls = 0;
  int64_t all = 0;
  TuneRequest request{{2, 1, 2}, 1, 1, [&](int64_t done, int64_t total, const std::string&) {
                        EXPECT_EQ(done, calls++);
                        all = total;
                      }};
  const auto tuned = tune(*plan, request, reports);
  EXPECT_EQ(calls, all);
  ASSERT_EQ(reports.size(), 2U);
  ASSERT_EQ(tuned->tunings.size(), 2U);
  for (size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].batch, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(tuned->tunings[i].batch, reports[i].batch);
    EXPECT_GT(reports[i].rule_ms, 0);
    EXPECT_GT(reports[i].tuned_ms, 0);
    ASSERT_EQ(tuned->tunings[i].choices.size(), reports[i].steps.size());
    for (size_t s = 0; s < reports[i].steps.size(); ++s) {
      const TunedStep& step = reports[i].steps[s];
      SCOPED_TRACE(step.name);
      ASSERT_GE(step.candidates.size(), 2U);
      ASSERT_EQ(step.ms.size(), step.candidates.size());
      for (const double ms : step.ms) EXPECT_LT(ms, std::numeric_limits<double>::infinity()) << "not measured";
      EXPECT_EQ(tuned->tunings[i].choices[s].choice, step.candidates[step.chosen]);
      if (step.chosen != 0) {
        EXPECT_LT(step.ms[step.chosen], step.ms[0]);
      }
    }
  }
  EXPECT_EQ(plan::validate(*tuned).message, "");
  for (const int64_t batch : {1, 2, 3}) {
    SCOPED_TRACE(batch);
    const Answer found = answer_of(*tuned, batch);
    EXPECT_EQ(found.notice, "");
    expect_near(found.coords, answer_of(*plan, batch, "reference").coords);
    EXPECT_EQ(found.coords, answer_of(*tuned, batch).coords) << "depends on the choices alone";
  }
}

// Whatever a file says is done, and every way gives the same answer.
TEST(Tune, AForgedChoiceIsFollowed) {
  const auto plan = small_plan();
  const std::vector<float> expected = answer_of(*plan, 2, "reference").coords;
  const std::vector<std::pair<std::function<bool(const Choice&)>, std::string>> ways{
      {[](const Choice& c) { return c.method == Method::kOneDnn; }, "jit"},
      {[](const Choice& c) { return c.method == Method::kOneDnnWinograd; }, "wino"},
      {[](const Choice& c) {
         return c == Choice{Method::kOwnWinograd, 4, 4};
       },
       "own_winograd_4x4"},
      {[](const Choice& c) {
         return c == Choice{Method::kOwnWinograd, 4, 3};
       },
       "own_winograd_4x3"},
      {[](const Choice& c) {
         return c == Choice{Method::kOwnWinograd, 2, 2};
       },
       "own_winograd_2x2"},
      {[](const Choice& c) { return c.method == Method::kOwnPointwise; }, "own_1x1"}};
  size_t followed = 0;
  for (const auto& [wanted, name] : ways) {
    SCOPED_TRACE(name);
    const plan::Plan other = forced(*plan, 2, wanted);
    const std::vector<StepTime> steps = steps_of(other, 2);
    for (const plan::StepChoice& entry : other.tunings[0].choices) {
      const StepTime& step = steps.at(static_cast<size_t>(entry.step));
      ASSERT_EQ(step.step, entry.step);
      ASSERT_FALSE(step.candidates.empty());
      EXPECT_EQ(step.candidates.front(), entry.choice);
      EXPECT_THAT(step.kernel, HasSubstr(name));
      ++followed;
    }
    const Answer found = answer_of(other, 2);
    EXPECT_EQ(found.notice, "");
    expect_near(found.coords, expected);
  }
  EXPECT_GT(followed, 0U);
}

TEST(Tune, OnAnotherCpuTheRuleHoldsAndTheSessionSaysSo) {
  const auto plan = small_plan();
  plan::Plan other = forced(*plan, 1, [](const Choice& c) { return c.method == Method::kOneDnn; });
  other.metadata.cpu_features = "another CPU";
  const Answer found = answer_of(other, 1);
  EXPECT_THAT(found.notice, HasSubstr("tuned on another CPU (another CPU; this one: " + runtime::cpu_features()));
  EXPECT_EQ(found.coords, answer_of(*plan, 1).coords);
  const std::vector<StepTime> by_rule = steps_of(*plan, 1);
  const std::vector<StepTime> steps = steps_of(other, 1);
  for (size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i].kernel, by_rule[i].kernel);
}

// No CPU has own kernels with such tiles: the step follows the rule.
TEST(Tune, AChoiceThatIsNotToBeHadIsSaid) {
  const auto plan = small_plan();
  plan::Plan other = *plan;
  other.metadata.cpu_features = runtime::cpu_features();
  other.tunings = {{1, 1, {}}};
  for (size_t i = 0; i < plan->steps.size(); ++i) {
    if (plan->steps[i].op == plan::Op::kConvTranspose2d) {
      other.tunings[0].choices.push_back({static_cast<int32_t>(i), {Method::kOwnWinograd, 6, 6}});
    }
  }
  const Answer found = answer_of(other, 1);
  EXPECT_THAT(found.notice, HasSubstr("3 of its tuned choices are not to be had here"));
  EXPECT_EQ(found.coords, answer_of(*plan, 1).coords);
}

TEST(Tune, RefusesPlansForOtherBackends) {
  std::vector<TuneReport> reports;
  EXPECT_THAT([&] { tune(*small_plan("reference"), {}, reports); },
              testing::ThrowsMessage<Error>(HasSubstr("only plans for cpu")));
  TuneRequest nobody;
  nobody.batches = {0};
  EXPECT_THAT([&] { tune(*small_plan(), nobody, reports); }, testing::ThrowsMessage<Error>(HasSubstr("a batch of 0")));
}

}  // namespace
}  // namespace posefix::compiler

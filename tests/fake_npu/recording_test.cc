// The rules that the stand-in for an NPU enforces on what is recorded: each broken once.
#include "torchgraph/recording.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <optional>

#include "base/error.h"
#include "torchgraph/device.h"

namespace posefix::torchgraph {
namespace {

using testing::HasSubstr;

class RecordedOnStandIn : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::setenv("POSEFIX_NPU_LIBRARY", FAKE_NPU_LIBRARY, 1);
    ::setenv("POSEFIX_NPU_GRAPH_LIBRARY", FAKE_NPU_LIBRARY, 1);
    device() = open_device("npu");
  }
  static void TearDownTestSuite() {
    ::unsetenv("POSEFIX_NPU_LIBRARY");
    ::unsetenv("POSEFIX_NPU_GRAPH_LIBRARY");
  }
  static at::Device& device() {
    static at::Device device = at::kCPU;
    return device;
  }

  static RecordedWork recorded(RecordedWork::Work work) {
    return {device(), open_recorder(device(), "--device-graphs"), std::move(work)};
  }
  static std::string problem(RecordedWork::Work work) {
    try {
      recorded(std::move(work)).run();
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  }
  static at::Tensor on_device(float value) { return at::full({2}, value).to(device()); }
  static float value(const at::Tensor& tensor) { return tensor.cpu()[0].item<float>(); }
};

TEST_F(RecordedOnStandIn, DoesTheWorkOnceEveryTime) {
  at::Tensor input = on_device(1);
  at::Tensor sum = on_device(0);
  int calls = 0;
  RecordedWork work = recorded([&] {
    ++calls;
    sum.add_(input);
    return std::vector{input * 10};
  });
  for (float i = 1; i < 5; ++i) {
    input.fill_(i);
    EXPECT_EQ(value(work.run().front()), 10 * i);
    EXPECT_EQ(value(sum), i * (i + 1) / 2);
  }
  EXPECT_EQ(calls, 2) << "once as it is, once recorded";
}

// As a device's graphs do: it reads where it was recorded, and numbers of the host are what they were.
TEST_F(RecordedOnStandIn, KeepsAddressesAndNumbers) {
  at::Tensor input = on_device(1);
  float factor = 2;
  RecordedWork work = recorded([&] { return std::vector{input * factor}; });
  EXPECT_EQ(value(work.run().front()), 2);
  const at::Tensor before = input;
  input = on_device(5);
  factor = 7;
  EXPECT_EQ(value(work.run().front()), 2);
  before.fill_(3);
  EXPECT_EQ(value(work.run().front()), 6);
}

TEST_F(RecordedOnStandIn, RefusesMemoryThatIsGone) {
  std::optional<at::Tensor> input = on_device(1);
  RecordedWork work = recorded([&] { return std::vector{*input + 1}; });
  work.run();
  work.run();
  input.reset();
  EXPECT_THROW(work.run(), c10::Error);
}

TEST_F(RecordedOnStandIn, RefusesWhatReadsOnTheHost) {
  const at::Tensor x = on_device(1);
  const auto value_of_x = [&] { return std::vector{x + x.sum().item<float>()}; };
  EXPECT_THAT(problem(value_of_x), HasSubstr("--device-graphs: the work could not be recorded on npu:0"));
  EXPECT_THAT(problem(value_of_x), HasSubstr("the host reads a value"));
  const auto copy_of_x = [&] { return std::vector{x.cpu().to(device())}; };
  EXPECT_THAT(problem(copy_of_x), HasSubstr("a copy to the host"));
}

TEST_F(RecordedOnStandIn, RefusesWhatComesFromTheHost) {
  const at::Tensor x = on_device(1);
  EXPECT_THAT(problem([&] { return std::vector{x + at::ones({2}).to(device())}; }), HasSubstr("a copy from the host"));
}

TEST_F(RecordedOnStandIn, NobodyRecordsOtherDevices) {
  for (const char* library : {"", "/nowhere/libgraph.so"}) {
    ::setenv("POSEFIX_NPU_GRAPH_LIBRARY", library, 1);
    EXPECT_THROW(open_recorder(device(), "--device-graphs"), Error) << library;
  }
  ::setenv("POSEFIX_NPU_GRAPH_LIBRARY", FAKE_NPU_LIBRARY, 1);
  EXPECT_THROW(open_recorder(at::kCPU, "--device-graphs"), Error);
}

}  // namespace
}  // namespace posefix::torchgraph

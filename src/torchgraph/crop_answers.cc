#include "torchgraph/crop_answers.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>

#include "torchgraph/image_input.h"

namespace posefix::torchgraph {
Network::Inputs network_inputs(const Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr) {
  const graph::Graph& graph = network.graph();
  const Shape& image = graph.node(graph.find("image")).type.shape;
  const int64_t height = image.at(1);
  const int64_t width = image.at(2);
  const int64_t joints = graph.node(graph.find("valid")).type.shape.at(1);
  const auto rows = [&](auto values, int64_t row) { return values.first(static_cast<size_t>(crops.size * row)); };
  return {subtract_mean(rows(crops.crops, height * width * 3), crops.size, height, width,
                        {mean_bgr[0], mean_bgr[1], mean_bgr[2]}, network.device()),
          copy_f32(rows(crops.pose, joints * 2), {crops.size, joints, 2}),
          copy_f32(rows(crops.valid, joints), {crops.size, joints})};
}

CropAnswers::CropAnswers(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                         bool with_spread) {
  std::vector<std::string> wanted{"coords"};
  if (with_spread) wanted.push_back("spread");
  values_ = network.forward(network_inputs(network, crops, mean_bgr), Mode::kInference, wanted);
  const at::Device device = network.device();
  // To page-locked memory where the device writes to it by itself; else this waits, and so does nothing below.
  for (at::Tensor& value : values_) value = value.to(at::kFloat).to(at::kCPU, at::kFloat, true).contiguous();
  if (device.is_cpu()) return;
  copied_.emplace(device.type());
  copied_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void CropAnswers::read(std::span<float> coords, std::span<float> spread) {
  // Not every LibTorch can wait for an event of any device; a batch takes milliseconds.
  while (copied_ && !copied_->query()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  const std::array<std::span<float>, 2> outputs{coords, spread};
  for (size_t i = 0; i < values_.size(); ++i) {
    std::copy_n(values_[i].data_ptr<float>(), values_[i].numel(), outputs[i].begin());
  }
}

void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread) {
  CropAnswers(network, crops, mean_bgr, !spread.empty()).read(coords, spread);
}

}  // namespace posefix::torchgraph

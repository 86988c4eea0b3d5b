#include "torchgraph/crop_answers.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "torchgraph/image_input.h"

namespace posefix::torchgraph {
namespace {

void copy_out(const at::Tensor& value, std::span<float> out) {
  const at::Tensor host = value.to(at::kCPU, at::kFloat).contiguous();
  std::copy_n(host.data_ptr<float>(), host.numel(), out.begin());
}

}  // namespace

Network::Inputs network_inputs(const Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr) {
  const graph::Graph& graph = network.graph();
  const Shape& image = graph.node(graph.find("image")).type.shape;
  const int64_t height = image.at(1);
  const int64_t width = image.at(2);
  const int64_t joints = graph.node(graph.find("valid")).type.shape.at(1);
  const auto rows = [&](auto values, int64_t row) { return values.first(static_cast<size_t>(crops.size * row)); };
  return {subtract_mean(rows(crops.crops, height * width * 3), crops.size, height, width,
                        {mean_bgr[0], mean_bgr[1], mean_bgr[2]}),
          copy_f32(rows(crops.pose, joints * 2), {crops.size, joints, 2}),
          copy_f32(rows(crops.valid, joints), {crops.size, joints})};
}

void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread) {
  const bool wants_spread = !spread.empty();
  const std::vector<std::string> wanted =
      wants_spread ? std::vector<std::string>{"coords", "spread"} : std::vector<std::string>{"coords"};
  const auto values = network.forward(network_inputs(network, crops, mean_bgr), Mode::kInference, wanted);
  copy_out(values[0], coords);
  if (wants_spread) copy_out(values[1], spread);
}

}  // namespace posefix::torchgraph

#include "torchgraph/crop_answers.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "torchgraph/transfer.h"

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

FixedInputs::FixedInputs(const Network& network, int64_t size, std::span<const double, 3> mean_bgr)
    : table_(byte_table({mean_bgr[0], mean_bgr[1], mean_bgr[2]}, network.device())) {
  const graph::Graph& graph = network.graph();
  const Shape& image = graph.node(graph.find("image")).type.shape;
  const int64_t joints = graph.node(graph.find("valid")).type.shape.at(1);
  const at::TensorOptions options = at::TensorOptions().device(network.device());
  bytes_ = at::zeros({size, image.at(1), image.at(2), 3}, options.dtype(at::kByte));
  pose_ = at::zeros({size, joints, 2}, options.dtype(at::kFloat));
  valid_ = at::zeros({size, joints}, options.dtype(at::kFloat));
}

void FixedInputs::put(const CropInputs& crops) {
  PFX_CHECK(crops.size == bytes_.size(0));
  const auto copy = [](const auto& from, const at::Tensor& to) {
    PFX_CHECK(static_cast<int64_t>(from.size()) >= to.numel());
    // from_blob() takes no const; nothing is written.
    auto* data = const_cast<std::remove_const_t<std::remove_pointer_t<decltype(from.data())>>*>(from.data());
    send_into(at::from_blob(data, to.sizes(), to.scalar_type()), to);
  };
  copy(crops.crops, bytes_);
  copy(crops.pose, pose_);
  copy(crops.valid, valid_);
}

Network::Inputs FixedInputs::inputs() const { return {look_up(bytes_, table_), pose_, valid_}; }

std::vector<at::Tensor> forward_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                                      bool with_spread) {
  std::vector<std::string> wanted{"coords"};
  if (with_spread) wanted.push_back("spread");
  return network.forward(network_inputs(network, crops, mean_bgr), Mode::kInference, wanted);
}

RecordedCrops::RecordedCrops(Network& network, int64_t size, std::span<const double, 3> mean_bgr, Recorder recorder)
    : inputs_(network, size, mean_bgr), work_(network.device(), std::move(recorder), [this, &network] {
        return network.forward(inputs_.inputs(), Mode::kInference, {"coords", "spread"});
      }) {}

const std::vector<at::Tensor>& RecordedCrops::forward(const CropInputs& crops) {
  inputs_.put(crops);
  return work_.run();
}

CropAnswers::CropAnswers(const std::vector<at::Tensor>& values, const at::Device& device) : values_(values) {
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
    if (!outputs[i].empty()) std::copy_n(values_[i].data_ptr<float>(), values_[i].numel(), outputs[i].begin());
  }
}

void answer_crops(Network& network, const CropInputs& crops, std::span<const double, 3> mean_bgr,
                  std::span<float> coords, std::span<float> spread) {
  CropAnswers(forward_crops(network, crops, mean_bgr, !spread.empty()), network.device()).read(coords, spread);
}

}  // namespace posefix::torchgraph

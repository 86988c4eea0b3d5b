// The torch backend: a snapshot's network on LibTorch, on any device that LibTorch has.
//
// Built as libposefix_torch_backend.so; runtime/backend.h says how it is found and what it exports.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "runtime/backend.h"
#include "tensorfile/snapshot.h"
#include "torchgraph/device.h"
#include "torchgraph/image_input.h"
#include "torchgraph/network.h"

namespace posefix::runtime {
namespace {

torchgraph::NetworkOptions network_options(const SessionOptions& options) {
  torchgraph::NetworkOptions network;
  network.device = options.device.empty() ? "auto" : options.device;
  return network;
}

class TorchSession : public Session {
 public:
  TorchSession(const graph::Graph& graph, const tensorfile::Snapshot& snapshot, const SessionOptions& options)
      : network_(graph, snapshot.variables, network_options(options)), max_batch_(options.max_batch) {
    const Shape& image = graph.node(graph.find("image")).type.shape;
    info_ = {image.at(1),
             image.at(2),
             graph.node(graph.find("valid")).type.shape.at(1),
             model::kHeatmapStride,
             "f32",
             "torch",
             snapshot.config_yaml(),
             snapshot.skeleton_yaml(),
             snapshot.trust(),
             true};
  }

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }

  void run(const CropBatch& input, const RefinedBatch& output) override {
    check_batch(info_, max_batch_, input, output);
    const int64_t batch = input.size;
    const auto rows = [&](auto values, int64_t row) { return values.first(static_cast<size_t>(batch * row)); };
    const std::array<double, 3> mean{model::kImageMeanBgr[0], model::kImageMeanBgr[1], model::kImageMeanBgr[2]};
    const torchgraph::Network::Inputs inputs{
        torchgraph::subtract_mean(rows(input.crops, info_.height * info_.width * 3), batch, info_.height, info_.width,
                                  mean),
        torchgraph::copy_f32(rows(input.pose, info_.joints * 2), {batch, info_.joints, 2}),
        torchgraph::copy_f32(rows(input.valid, info_.joints), {batch, info_.joints})};
    const bool wants_spread = !output.spread.empty();
    const std::vector<std::string> wanted =
        wants_spread ? std::vector<std::string>{"coords", "spread"} : std::vector<std::string>{"coords"};
    const auto values = network_.forward(inputs, torchgraph::Mode::kInference, wanted);
    copy_out(values[0], output.coords);
    if (wants_spread) copy_out(values[1], output.spread);
  }

 private:
  static void copy_out(const at::Tensor& value, std::span<float> out) {
    const at::Tensor host = value.to(at::kCPU).contiguous();
    std::copy_n(host.data_ptr<float>(), host.numel(), out.begin());
  }

  torchgraph::Network network_;
  int64_t max_batch_;
  ModelInfo info_;
};

std::unique_ptr<Session> open_snapshot(const std::filesystem::path& path, const SessionOptions& options) {
  const tensorfile::Snapshot snapshot = tensorfile::read_snapshot(path);
  try {
    const pose::Skeleton skeleton = pose::Skeleton::parse(snapshot.skeleton_yaml(), "posefix.skeleton");
    const model::ModelConfig config = model::config_from_yaml(snapshot.config_yaml(), "posefix.config");
    const graph::Graph graph = model::build(config, skeleton.size());
    model::check_weights(graph, snapshot.variables, path.string());
    return std::make_unique<TorchSession>(graph, snapshot, options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(path.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(path.string());
  }
}

}  // namespace
}  // namespace posefix::runtime

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) posefix::runtime::Session* posefix_open_torch_backend(
    const std::filesystem::path* model, const posefix::runtime::SessionOptions* options) {
  const std::string extension = model->extension().string();
  if (extension != ".safetensors") {
    throw posefix::bad_input("{}: the torch backend runs snapshots (.safetensors); use the cpu backend for '{}' files",
                             model->string(), extension);
  }
  posefix::torchgraph::fix_threads(options->threads);
  try {
    return posefix::runtime::open_snapshot(*model, *options).release();
  } catch (const c10::Error& error) {
    throw posefix::failed("{}: LibTorch: {}", model->string(), error.what_without_backtrace());
  }
}

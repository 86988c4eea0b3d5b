// The torch backend: a snapshot's network on LibTorch, on any device that LibTorch has.
//
// Built as libposefix_torch_backend.so; runtime/backend.h says how it is found and what it exports.
#include <c10/util/Exception.h>

#include "base/error.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "runtime/backend.h"
#include "tensorfile/snapshot.h"
#include "torchgraph/crop_answers.h"
#include "torchgraph/device.h"
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
    torchgraph::answer_crops(network_, {input.size, input.crops, input.pose, input.valid}, model::kImageMeanBgr,
                             output.coords, output.spread);
  }

 private:
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

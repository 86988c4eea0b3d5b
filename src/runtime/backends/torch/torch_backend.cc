// The torch backend: a snapshot's network on LibTorch, on any device that LibTorch has.
//
// Built as libposefix_torch_backend.so; runtime/backend.h says how it is found and what it exports.
#include <c10/util/Exception.h>

#include <deque>
#include <optional>

#include "base/error.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"
#include "runtime/backend.h"
#include "tensorfile/snapshot.h"
#include "torchgraph/crop_answers.h"
#include "torchgraph/device.h"
#include "torchgraph/network.h"
#include "torchgraph/recording.h"

namespace posefix::runtime {
namespace {

torchgraph::NetworkOptions network_options(const SessionOptions& options) {
  torchgraph::NetworkOptions network;
  network.device = options.device.empty() ? "auto" : options.device;
  const std::optional<DType> precision = dtype_from_name(options.precision.empty() ? "f32" : options.precision);
  if (precision != DType::kF32 && precision != DType::kBF16 && precision != DType::kF16) {
    throw bad_input("--precision {}: the torch backend computes in f32, bf16 or f16", options.precision);
  }
  network.inference_precision = *precision;
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
             std::string(dtype_name(network_.options().inference_precision)),
             "torch",
             snapshot.config_yaml(),
             snapshot.skeleton_yaml(),
             snapshot.trust(),
             true};
    if (!options.device_graphs) return;
    recorded_.emplace(network_, max_batch_, model::kImageMeanBgr,
                      torchgraph::open_recorder(network_.device(), "--device-graphs"));
  }

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }

  // The CPU has done a batch when submit() returns; another device works on one while the next is prepared.
  int64_t max_in_flight() const override { return network_.device().is_cpu() ? 1 : 2; }

  void submit(const CropBatch& input, const RefinedBatch& output) override {
    check_batch(info_, max_batch_, input, output);
    guard([&] {
      const torchgraph::CropInputs crops{input.size, input.crops, input.pose, input.valid};
      // Shorter batches are the last of a run: not worth a recording.
      const std::vector<at::Tensor> values =
          recorded_ && crops.size == max_batch_
              ? recorded_->forward(crops)
              : torchgraph::forward_crops(network_, crops, model::kImageMeanBgr, !output.spread.empty());
      pending_.push_back({{values, network_.device()}, output});
    });
  }

  void wait() override {
    if (pending_.empty()) return;
    guard([&] { pending_.front().answers.read(pending_.front().output.coords, pending_.front().output.spread); });
    pending_.pop_front();
  }

  void run(const CropBatch& input, const RefinedBatch& output) override {
    submit(input, output);
    while (!pending_.empty()) wait();
  }

 private:
  struct Pending {
    torchgraph::CropAnswers answers;
    RefinedBatch output;
  };

  // An error drops every batch in flight.
  template <typename Work>
  void guard(const Work& work) {
    try {
      work();
    } catch (const c10::Error& error) {
      pending_.clear();
      throw failed("LibTorch: {}", error.what_without_backtrace());
    }
  }

  torchgraph::Network network_;
  std::optional<torchgraph::RecordedCrops> recorded_;  // batches of max_batch_
  int64_t max_batch_;
  ModelInfo info_;
  std::deque<Pending> pending_;
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

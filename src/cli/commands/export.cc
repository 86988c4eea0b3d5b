// posefix export: a snapshot as a frozen TensorFlow graph, an ONNX model, a TensorFlow checkpoint, or a snapshot
// without training state, in half precision if wanted.
#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/network_file.h"
#include "exporters/graphdef_write.h"
#include "exporters/onnx_write.h"
#include "model/posefix_net.h"
#include "tensorfile/checkpoint.h"
#include "tensorfile/snapshot.h"

namespace posefix::cli {
namespace {

struct ExportFlags {
  std::string model;
  std::string format;
  std::string out;
  int64_t batch = 0;
  int64_t opset = 13;
  bool flip = false;
  bool no_decode = false;
  std::string precision = "f32";
};

void check_flags(const ExportFlags& flags) {
  if (flags.precision != "f32" && flags.format != "safetensors") {
    throw bad_input("--precision {}: only a snapshot can hold it (--format safetensors)", flags.precision);
  }
  if (flags.format == "onnx") return;
  if (flags.flip) throw bad_input("--flip: only an ONNX model can hold the flip test (--format onnx)");
  if (flags.no_decode) throw bad_input("--no-decode: only for --format onnx");
}

void export_onnx(const ExportFlags& flags, const NetworkFile& network) {
  exporters::OnnxOptions options;
  options.opset = flags.opset;
  options.batch = flags.batch;
  options.decode = !flags.no_decode;
  options.flip = flags.flip;
  const graph::Node& image = network.graph.node(network.graph.find("image"));
  const graph::Node& rendering = network.graph.node(network.graph.find("input_heatmap"));
  options.metadata = {
      {"posefix.input_size", fmt::format("{}x{}", image.type.shape.at(1), image.type.shape.at(2))},
      {"posefix.preprocessing",
       fmt::format("image: BGR, float, minus ({}, {}, {}), NHWC; pose: crop px, x then y; valid: 0 or 1",
                   model::kImageMeanBgr[0], model::kImageMeanBgr[1], model::kImageMeanBgr[2])},
      {"posefix.sigma_px", fmt::format("{}", rendering.attrs.sigma)},
      {"posefix.outputs",
       options.decode ? "coords: crop px, x then y; spread: crop px" : "logits_nhwc: heat maps before the softmax"},
      {"posefix.config", network.config_yaml},
      {"posefix.skeleton", network.skeleton_yaml}};
  if (!network.trust.empty()) options.metadata["posefix.trust"] = network.trust;
  if (!network.skeleton_yaml.empty()) {
    const pose::Skeleton skeleton = pose::Skeleton::parse(network.skeleton_yaml, flags.model + ": posefix.skeleton");
    options.metadata["posefix.joints"] = fmt::format("{}", fmt::join(skeleton.joints, ","));
    for (const int partner : skeleton.flip_permutation()) options.mirror.push_back(partner);
  } else if (flags.flip) {
    throw bad_input("{}: carries no skeleton, so --flip does not know which joints to swap", flags.model);
  }
  write_file_atomically(flags.out, exporters::encode_onnx(network.graph, network.weights, options));
}

// The network alone, without training state; of the metadata what a user of the model needs.
void export_snapshot(const ExportFlags& flags, const NetworkFile& network) {
  if (network.config_yaml.empty() || network.skeleton_yaml.empty()) {
    throw bad_input(
        "{}: carries no configuration; 'posefix init --config C.yaml --from {} --out S.safetensors' makes a snapshot "
        "of it",
        flags.model, flags.model);
  }
  tensorfile::Snapshot snapshot;
  snapshot.metadata = {{"posefix.config", network.config_yaml}, {"posefix.skeleton", network.skeleton_yaml}};
  if (!network.trust.empty()) snapshot.metadata["posefix.trust"] = network.trust;
  const auto step = network.metadata.find("posefix.step");
  if (step != network.metadata.end()) snapshot.metadata.insert(*step);
  snapshot.variables = flags.precision == "f32"
                           ? network.weights
                           : tensorfile::half_filters(network.weights, dtype_from_name(flags.precision).value());
  tensorfile::write_snapshot(flags.out, snapshot);
}

void run(const ExportFlags& flags) {
  check_flags(flags);
  const NetworkFile network = read_network_file(flags.model);
  if (flags.format == "pb") {
    write_file_atomically(flags.out,
                          exporters::encode_graphdef(network.graph, network.weights, {.batch = flags.batch}));
  } else if (flags.format == "onnx") {
    export_onnx(flags, network);
  } else if (flags.format == "safetensors") {
    export_snapshot(flags, network);
  } else if (flags.format == "tf-v1") {
    tensorfile::write_checkpoint_v1(flags.out, network.weights);
  } else {
    tensorfile::write_checkpoint_v2(flags.out, network.weights);
  }
  std::fprintf(stderr, "wrote %s: %zu variables\n", flags.out.c_str(), network.weights.size());
}

std::function<void()> setup(CLI::App& app) {
  const auto flags = std::make_shared<ExportFlags>();
  app.add_option("MODEL", flags->model, "a snapshot (or a .pb or .onnx file)")->required();
  app.add_option("--format", flags->format, "pb, onnx, safetensors, tf-v2 (a checkpoint's prefix) or tf-v1")
      ->required()
      ->check(CLI::IsMember({"pb", "onnx", "safetensors", "tf-v2", "tf-v1"}));
  app.add_option("--out", flags->out, "the file to write; tf-v2: the prefix")->required();
  app.add_option("--batch", flags->batch, "pb, onnx: fixed batch size (for atc: that of its --input_shape); 0 = any")
      ->check(CLI::Range(0, 65536));
  app.add_option("--opset", flags->opset, "onnx: operator set, 13 to 17")->check(CLI::Range(13, 17));
  app.add_flag("--flip", flags->flip, "onnx: run the mirrored picture too and merge both answers in the model");
  app.add_flag("--no-decode", flags->no_decode, "onnx: leave the decoding out; the output is heat maps");
  app.add_option("--precision", flags->precision, "safetensors: filters in f32, or in half the bytes as bf16 or f16")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16", "f16"}));
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"export", "a snapshot as .pb, .onnx, TensorFlow checkpoint or smaller snapshot",
                                       &setup};

}  // namespace
}  // namespace posefix::cli

// posefix inspect FILE: what a file holds and whether it is sound.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "cli/ascend_target.h"
#include "cli/command.h"
#include "cli/inspect_data.h"
#include "cli/network_file.h"
#include "plan/plan_file.h"
#include "tensorfile/checkpoint.h"

namespace posefix::cli {
namespace {

using Json = nlohmann::ordered_json;
using tensorfile::Checkpoint;
using tensorfile::CheckpointTensor;

struct InspectFlags {
  std::string file;
  bool tensors = false;
  bool json = false;
  bool write_sidecar = false;
  std::string skeleton;
};

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

size_t damaged_tensors(const Checkpoint& checkpoint) {
  size_t damaged = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors) damaged += tensor.problem.empty() ? 0 : 1;
  return damaged;
}

Json to_json(const CheckpointTensor& tensor) {
  Json json = {{"name", tensor.name},
               {"dtype", dtype_name(tensor.dtype)},
               {"shape", tensor.shape},
               {"bytes", tensor.bytes},
               {"file", tensor.file}};
  if (tensor.offset >= 0) json["offset"] = tensor.offset;
  if (tensor.slices > 0) json["slices"] = tensor.slices;
  json["sound"] = tensor.problem.empty();
  if (!tensor.problem.empty()) json["problem"] = tensor.problem;
  return json;
}

void print_weights_json(const InspectFlags& flags, const Checkpoint& checkpoint) {
  Json json = {{"file", flags.file},
               {"format", tensorfile::format_name(checkpoint.format)},
               {"tensor_count", checkpoint.tensors.size()},
               {"damaged", damaged_tensors(checkpoint)},
               {"metadata", checkpoint.metadata},
               {"notes", checkpoint.notes},
               {"tensors", Json::array()}};
  for (const CheckpointTensor& tensor : checkpoint.tensors) json["tensors"].push_back(to_json(tensor));
  print_json(json);
}

void print_text(const InspectFlags& flags, const Checkpoint& checkpoint) {
  uint64_t bytes = 0;
  int64_t values = 0;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    bytes += tensor.bytes;
    if (tensor.problem.empty()) values += tensor.value.count();
  }
  const size_t damaged = damaged_tensors(checkpoint);
  print(fmt::format("{}: {}\n{} tensors, {} values, {} bytes\n", flags.file, tensorfile::format_name(checkpoint.format),
                    checkpoint.tensors.size(), values, bytes));
  if (checkpoint.format != tensorfile::CheckpointFormat::kSafeTensors) {
    print(damaged == 0 ? "checksums: all right\n" : fmt::format("checksums: {} tensors are damaged\n", damaged));
  }
  for (const std::string& note : checkpoint.notes) print("note: " + note + "\n");
  for (const auto& [key, value] : checkpoint.metadata) {
    print(fmt::format("metadata {}:{}{}\n", key, value.find('\n') == std::string::npos ? " " : "\n", value));
  }
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (!flags.tensors && tensor.problem.empty()) continue;
    print(fmt::format("{:<72} {:<8} {:<20} {:>10}{}{}\n", tensor.name, dtype_name(tensor.dtype),
                      to_string(tensor.shape), tensor.bytes,
                      tensor.slices > 0 ? fmt::format("  {} slices", tensor.slices) : "",
                      tensor.problem.empty() ? "" : "  DAMAGED: " + tensor.problem));
  }
}

void inspect_weights(const InspectFlags& flags) {
  const Checkpoint checkpoint = tensorfile::open_checkpoint(flags.file);
  if (flags.json) {
    print_weights_json(flags, checkpoint);
  } else {
    print_text(flags, checkpoint);
  }
  tensorfile::check_sound(checkpoint);
}

size_t node_count(const graph::Graph& graph) { return graph.nodes().size(); }

void inspect_network(const InspectFlags& flags) {
  const NetworkFile network = read_network_file(flags.file);
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : network.weights) bytes += tensor.bytes().size();
  if (flags.json) {
    Json json = {{"file", flags.file},
                 {"format", flags.file.ends_with(".onnx") ? "ONNX model" : "TensorFlow frozen graph"},
                 {"tensor_count", network.weights.size()},
                 {"metadata", network.metadata},
                 {"nodes", node_count(network.graph)},
                 {"graph", network.graph.to_text()},
                 {"tensors", Json::array()}};
    for (const auto& [name, tensor] : network.weights) {
      json["tensors"].push_back({{"name", name},
                                 {"dtype", dtype_name(tensor.dtype())},
                                 {"shape", tensor.shape()},
                                 {"bytes", tensor.bytes().size()}});
    }
    print_json(json);
    return;
  }
  print(fmt::format("{}: {}\n{} tensors, {} bytes, {} nodes\n", flags.file,
                    flags.file.ends_with(".onnx") ? "ONNX model" : "TensorFlow frozen graph", network.weights.size(),
                    bytes, node_count(network.graph)));
  for (const auto& [key, value] : network.metadata) {
    print(fmt::format("metadata {}:{}{}\n", key, value.find('\n') == std::string::npos ? " " : "\n", value));
  }
  print(network.graph.to_text());
  if (!flags.tensors) return;
  for (const auto& [name, tensor] : network.weights) {
    print(fmt::format("{:<72} {:<8} {:<20} {:>10}\n", name, dtype_name(tensor.dtype()),
                      posefix::to_string(tensor.shape()), tensor.bytes().size()));
  }
}

void inspect_data(const InspectFlags& flags, const Json& description) {
  if (flags.json) {
    print_json(description);
    return;
  }
  print(fmt::format("{}: {}\n", flags.file, description.at("format").get<std::string>()));
  for (const auto& [key, value] : description.items()) {
    if (key == "file" || key == "format") continue;
    print(fmt::format("{}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump()));
  }
}

void inspect_plan(const InspectFlags& flags) {
  const auto plan = plan::read_plan(flags.file);
  const plan::Metadata& metadata = plan->metadata;
  std::map<std::string, std::string> properties = {{"target", metadata.target},
                                                   {"precision", metadata.precision},
                                                   {"posefix.config", metadata.config_yaml},
                                                   {"posefix.skeleton", metadata.skeleton_yaml}};
  if (!metadata.trust.empty()) properties["posefix.trust"] = metadata.trust;
  if (flags.json) {
    const Json json = {{"file", flags.file},
                       {"format", "posefix offline model"},
                       {"metadata", properties},
                       {"steps", plan->steps.size()},
                       {"graph", plan::to_text(*plan)}};
    print_json(json);
    return;
  }
  print(fmt::format("{}: posefix offline model\n{} steps\nchecksums: all right\n", flags.file, plan->steps.size()));
  for (const auto& [key, value] : properties) {
    print(fmt::format("metadata {}:{}{}\n", key, value.find('\n') == std::string::npos ? " " : "\n", value));
  }
  print(plan::to_text(*plan));
}

std::function<void()> setup(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  app.add_option("FILE", flags->file,
                 "model: .plan, .om, .pb, .onnx, safetensors, TensorFlow checkpoint (V1 file or V2 prefix); or poses, "
                 "annotations, error statistics, a configuration, a skeleton, a picture")
      ->required();
  app.add_flag("--tensors", flags->tensors, "list every tensor");
  app.add_flag("--json", flags->json, "print JSON, every tensor included");
  app.add_flag("--write-sidecar", flags->write_sidecar, ".om: write M.om.json from the model's own description");
  app.add_option("--skeleton", flags->skeleton, ".om: skeleton for the sidecar, a name or a YAML file");
  return [flags] {
    if (flags->file.ends_with(".om")) {
      inspect_om(flags->file, flags->write_sidecar, flags->skeleton);
    } else if (is_exported_model(flags->file)) {
      inspect_network(*flags);
    } else if (plan::is_plan_file(flags->file)) {
      inspect_plan(*flags);
    } else if (const std::optional<Json> description = describe_data_file(flags->file)) {
      inspect_data(*flags, *description);
    } else {
      inspect_weights(*flags);
    }
  };
}

const CommandRegistration registration{"inspect", "what a file holds, and whether it is sound", &setup};

}  // namespace
}  // namespace posefix::cli

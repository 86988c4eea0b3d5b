#include "cli/network_file.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/error.h"
#include "compiler/compile.h"
#include "compiler/open_model.h"
#include "exporters/imported_model.h"
#include "model/posefix_net.h"
#include "tensorfile/snapshot.h"

namespace posefix::cli {
namespace {

NetworkFile read_snapshot_network(const std::filesystem::path& path) {
  tensorfile::Snapshot snapshot = tensorfile::read_snapshot(path);
  NetworkFile network;
  try {
    const model::ModelConfig config = model::config_from_yaml(snapshot.config_yaml(), "posefix.config");
    const pose::Skeleton skeleton = pose::Skeleton::parse(snapshot.skeleton_yaml(), "posefix.skeleton");
    network.graph = model::build(config, skeleton.size());
  } catch (const Error& error) {
    throw error.within(path.string());
  }
  model::check_weights(network.graph, snapshot.variables, path.string());
  network.weights = std::move(snapshot.variables);
  network.config_yaml = snapshot.config_yaml();
  network.skeleton_yaml = snapshot.skeleton_yaml();
  network.trust = snapshot.trust();
  network.metadata = std::move(snapshot.metadata);
  return network;
}

std::string value_or_empty(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

std::unique_ptr<runtime::Session> open_exported(const std::filesystem::path& path,
                                                const runtime::SessionOptions& options) {
  if (options.backend == "torch" || options.backend == "ascend") {
    throw bad_input("--backend {}: {} is compiled for cpu or reference; torch takes a snapshot, ascend an .om",
                    options.backend, path.string());
  }
  NetworkFile network = read_network_file(path);
  const compiler::ModelTexts texts{network.config_yaml, network.skeleton_yaml, network.trust};
  compiler::CompileOptions compile_options;
  if (!options.backend.empty()) compile_options.target = options.backend;
  return runtime::open_session(compiler::compile(network.graph, std::move(network.weights), texts, compile_options),
                               options);
}

}  // namespace

bool is_exported_model(const std::filesystem::path& path) {
  return path.extension() == ".pb" || path.extension() == ".onnx";
}

NetworkFile read_network_file(const std::filesystem::path& path) {
  if (!is_exported_model(path)) return read_snapshot_network(path);
  exporters::ImportedModel model = exporters::read_model(path);
  NetworkFile network;
  network.graph = std::move(model.graph);
  network.weights = std::move(model.weights);
  network.config_yaml = value_or_empty(model.metadata, "posefix.config");
  network.skeleton_yaml = value_or_empty(model.metadata, "posefix.skeleton");
  network.trust = value_or_empty(model.metadata, "posefix.trust");
  network.metadata = std::move(model.metadata);
  return network;
}

void check_session_options(const std::filesystem::path& model, const runtime::SessionOptions& options) {
  if (options.backend == "torch") return;
  if (!options.precision.empty()) {
    throw bad_input("--precision {}: goes with --backend torch; for a plan or .om it is chosen by posefix compile",
                    options.precision);
  }
  if (!options.device.empty() && model.extension() != ".om") {
    throw bad_input("--device {}: only --backend torch and an .om have a choice of devices", options.device);
  }
  if (options.device_graphs) throw bad_input("--device-graphs: goes with --backend torch alone");
}

std::unique_ptr<runtime::Session> open_network(const std::filesystem::path& path,
                                               const runtime::SessionOptions& options) {
  if (path.string().ends_with(".om.json")) {
    throw bad_input("{}: is the sidecar of an Ascend model; give the model itself: {}", path.string(),
                    std::filesystem::path(path).replace_extension().string());
  }
  auto session = is_exported_model(path) ? open_exported(path, options) : compiler::open_model(path, options);
  const runtime::ModelInfo& info = session->info();
  if (!info.missing_precision.empty()) {
    fmt::print(stderr, "{} is in {}, which this CPU has no instructions for: it runs in {}\n", path.string(),
               info.missing_precision, info.precision);
  }
  if (!info.tuning_notice.empty()) fmt::print(stderr, "{}: {}\n", path.string(), info.tuning_notice);
  return session;
}

void check_batch(const std::filesystem::path& model, const runtime::Session& session, int64_t asked) {
  if (asked == session.max_batch()) return;
  throw bad_input(
      "--batch {0}: {1} was compiled for batches of up to {2}; leave --batch out, or compile it again: posefix compile "
      "... --batch {0}",
      asked, model.string(), session.max_batch());
}

}  // namespace posefix::cli

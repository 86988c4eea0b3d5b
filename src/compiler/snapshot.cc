// Snapshots: the configuration inside says which graph the variables belong to.
#include "tensorfile/snapshot.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/options.h"
#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"

namespace posefix::compiler {
namespace {

// "model.*" of a resolved configuration; the other keys (train.*, ...) are of no use here.
std::string model_keys(const std::string& yaml) {
  std::string kept;
  const YAML::Node root = YAML::Load(yaml);
  if (!root.IsMap()) throw bad_input("the configuration in \"posefix.config\" is not a map of keys");
  for (const auto& item : root) {
    YAML::Emitter value;
    value << YAML::Flow << item.second;
    const auto key = item.first.as<std::string>();
    if (key == "model" || key.starts_with("model.")) kept += fmt::format("{}: {}\n", key, value.c_str());
  }
  return kept;
}

model::ModelConfig config_of(const tensorfile::Snapshot& snapshot) {
  model::ModelConfig config;
  Options options;
  model::add_options(options, config);
  try {
    options.load_text(model_keys(snapshot.config_yaml()), "posefix.config");
  } catch (const YAML::Exception& error) {
    throw bad_input("the configuration in \"posefix.config\" is not valid YAML: {}", error.what());
  }
  return config;
}

}  // namespace

std::shared_ptr<const plan::Plan> compile_snapshot(const std::filesystem::path& path, const CompileOptions& options) {
  const tensorfile::Snapshot snapshot = tensorfile::read_snapshot(path);
  try {
    const pose::Skeleton skeleton = pose::Skeleton::parse(snapshot.skeleton_yaml(), "posefix.skeleton");
    const graph::Graph graph = model::build(config_of(snapshot), skeleton.size());
    model::check_weights(graph, snapshot.variables, path.string());
    return compile(graph, snapshot.variables, {snapshot.config_yaml(), snapshot.skeleton_yaml()}, options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(path.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(path.string());
  }
}

}  // namespace posefix::compiler

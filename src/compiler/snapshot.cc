// Snapshots: the configuration inside says which graph the variables belong to.
#include "tensorfile/snapshot.h"

#include "base/error.h"
#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "pose/skeleton.h"

namespace posefix::compiler {
std::shared_ptr<const plan::Plan> compile_snapshot(const std::filesystem::path& path, const CompileOptions& options) {
  tensorfile::Snapshot snapshot = tensorfile::read_snapshot(path);
  snapshot.state.clear();
  try {
    const pose::Skeleton skeleton = pose::Skeleton::parse(snapshot.skeleton_yaml(), "posefix.skeleton");
    const graph::Graph graph =
        model::build(model::config_from_yaml(snapshot.config_yaml(), "posefix.config"), skeleton.size());
    model::check_weights(graph, snapshot.variables, path.string());
    return compile(graph, std::move(snapshot.variables),
                   {snapshot.config_yaml(), snapshot.skeleton_yaml(), snapshot.trust()}, options);
  } catch (const Error& error) {
    const bool names_file = std::string(error.what()).find(path.string()) != std::string::npos;
    if (names_file) throw;
    throw error.within(path.string());
  }
}

}  // namespace posefix::compiler

// make_small_plan OUT.plan: a narrow network with fresh weights, compiled for the cpu.
#include <cstdio>

#include "base/error.h"
#include "compiler/compile.h"
#include "model/posefix_net.h"
#include "plan/plan_file.h"
#include "pose/skeleton.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    posefix::model::ModelConfig config;
    config.width = "1/16";
    config.input_size = {128, 96};
    const posefix::pose::Skeleton skeleton = posefix::pose::Skeleton::load("coco17");
    const posefix::graph::Graph graph = posefix::model::build(config, skeleton.size());
    const auto plan = posefix::compiler::compile(graph, posefix::model::initialise(graph, 1), {"", skeleton.yaml}, {});
    posefix::plan::write_plan(argv[1], *plan);
  } catch (const posefix::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
  return 0;
}

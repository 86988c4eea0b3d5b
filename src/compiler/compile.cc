#include "compiler/compile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "compiler/passes/passes.h"
#include "compiler/program.h"
#include "plan/plan_file.h"

namespace posefix::compiler {
namespace {

void check_target(const CompileOptions& options) {
  const bool is_known = options.target == "cpu" || options.target == "reference";
  if (!is_known) {
    throw bad_input("--target {}: this program compiles for cpu, reference and ascend:SOC", options.target);
  }
  const bool is_available = options.precision == "f32" || options.precision == "int8" ||
                            (options.precision == "bf16" && options.target == "cpu");
  if (!is_available) {
    throw bad_input("--precision {}: for --target {} this program has {}", options.precision, options.target,
                    options.target == "cpu" ? "f32, bf16 and int8" : "f32 and int8");
  }
}

class Dump {
 public:
  explicit Dump(const std::filesystem::path& folder) : folder_(folder) {
    if (!folder_.empty()) std::filesystem::create_directories(folder_);
  }
  void write(std::string_view stage, const std::string& text) {
    if (!folder_.empty()) write_file_atomically(folder_ / fmt::format("{:02}_{}.txt", number_, stage), text);
    ++number_;
  }

 private:
  std::filesystem::path folder_;
  int number_ = 0;
};

// The graph with only the outputs that the plan needs: coordinates, spread, and what is to be kept.
Module with_outputs(const graph::Graph& graph, const NamedTensors& weights, const std::vector<Keep>& keep) {
  Module module;
  for (const graph::Node& node : graph.nodes()) {
    if (node.op == graph::Op::kInput) {
      module.graph.add_input(node.name, node.type);
    } else if (node.op == graph::Op::kWeight) {
      module.graph.add_weight(node.name, node.type.shape);
      const auto found = weights.find(node.name);
      if (found == weights.end()) throw bad_input("there is no weight named '{}'", node.name);
      if (found->second.shape() != node.type.shape) {
        throw bad_input("weight '{}' is {}, the network needs {}", node.name, to_string(found->second.shape()),
                        to_string(node.type.shape));
      }
      module.weights[node.name] = found->second.to_f32();
    } else {
      module.graph.add(node.op, node.name, node.inputs, node.attrs);
    }
  }
  for (const graph::Output& output : graph.outputs()) {
    if (output.name == "coords" || output.name == "spread") module.graph.add_output(output.name, output.node);
  }
  for (const Keep& value : keep) module.graph.add_output(value.name, module.graph.find(value.node));
  return module;
}

}  // namespace

std::shared_ptr<const plan::Plan> compile(const graph::Graph& graph, NamedTensors weights, const ModelTexts& texts,
                                          const CompileOptions& options) {
  check_target(options);
  Dump dump(options.dump_passes);
  dump.write("graph", graph.to_text());
  Module module = prune(with_outputs(graph, weights, options.keep));
  weights.clear();
  module.graph.verify();
  for (const GraphPass& pass : graph_passes()) {
    module = pass.run(module);
    dump.write(pass.name, module.graph.to_text());
  }
  Program program = lower(module);
  module = Module();
  program.plan.metadata.target = options.target;
  program.plan.metadata.precision = options.precision == "int8" ? "f32" : options.precision;
  program.plan.metadata.config_yaml = texts.config_yaml;
  program.plan.metadata.skeleton_yaml = texts.skeleton_yaml;
  program.plan.metadata.trust = texts.trust;
  if (options.target == "cpu") {
    fuse_pose_stem(program);
    dump.write("fuse_pose_stem", plan::to_text(program.plan));
  }
  if (options.precision == "bf16") {
    assign_bf16(program);
    dump.write("assign_bf16", plan::to_text(program.plan));
  }
  if (options.precision == "int8") {
    Int8Report report;
    program = calibrate_int8(program, options.int8 != nullptr ? *options.int8 : Int8Request(), report);
    program.plan.metadata.target = options.target;
    if (options.int8_report != nullptr) *options.int8_report = std::move(report);
    dump.write("quantise", plan::to_text(program.plan));
  }
  plan_memory(program.plan);
  std::shared_ptr<const plan::Plan> result = pack(std::move(program));
  dump.write("plan", plan::to_text(*result));
  return result;
}

}  // namespace posefix::compiler

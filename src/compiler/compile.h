// Graph and weights -> offline model.
//
// compile() runs the passes of passes/passes.h, verifies after each, lowers the graph to steps and plans memory. The
// result depends on its arguments alone.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compiler/int8/calibrate.h"
#include "compiler/rewrite.h"
#include "plan/plan.h"

namespace posefix::compiler {

// A value that the session can show after a run (Session::kept), under a name of the caller's choice.
struct Keep {
  std::string name;
  std::string node;  // of the graph
};

struct CompileOptions {
  std::string target = "cpu";         // "cpu" or "reference"
  std::string precision = "f32";      // or "int8", or "bf16" for the cpu
  const Int8Request* int8 = nullptr;  // borrowed; what int8 is calibrated on
  Int8Report* int8_report = nullptr;  // borrowed; may be null
  std::vector<Keep> keep;
  std::filesystem::path dump_passes;  // "": no dump; else the folder that gets NN_pass.txt after every pass
};

// What the plan carries along for its users.
struct ModelTexts {
  std::string config_yaml;
  std::string skeleton_yaml;
  std::string trust = {};  // calibration as text, "" for none
};

// Error (bad input): a target or precision that is not available (names those that are), an unknown name in `keep`,
// missing weights, or a node that cannot be compiled.
std::shared_ptr<const plan::Plan> compile(const graph::Graph& graph, NamedTensors weights, const ModelTexts& texts,
                                          const CompileOptions& options);

// Builds the graph that the snapshot's configuration describes and compiles it. Error names the file.
std::shared_ptr<const plan::Plan> compile_snapshot(const std::filesystem::path& path, const CompileOptions& options);

}  // namespace posefix::compiler

// posefix compile: a snapshot (or a .pb or .onnx file) becomes an offline model for one target.
#include "compiler/compile.h"

#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "cli/ascend_target.h"
#include "cli/calibration.h"
#include "cli/command.h"
#include "cli/network_file.h"
#include "cli/tuning.h"
#include "cli/verify.h"
#include "plan/plan_file.h"

namespace posefix::cli {
namespace {

struct Arguments {
  std::string model;
  std::string out;
  std::string precision;  // "": the target's default
  compiler::CompileOptions options;
  AscendFlags ascend;
  VerifyFlags verify;
  CalibrationFlags calibration;
  TuningFlags tuning;
  std::string dump_passes;
};

pose::Skeleton skeleton_of(const Arguments& arguments, const NetworkFile& network, const char* flag) {
  if (!arguments.ascend.skeleton.empty()) return pose::Skeleton::load(arguments.ascend.skeleton);
  if (network.skeleton_yaml.empty()) {
    throw bad_input("{}: carries no skeleton, which {} needs; give one with --skeleton", arguments.model, flag);
  }
  return pose::Skeleton::parse(network.skeleton_yaml, arguments.model + ": skeleton");
}

std::shared_ptr<const plan::Plan> compile_plan(const Arguments& arguments) {
  if (arguments.options.precision == "int8") {
    const NetworkFile network = read_network_file(arguments.model);
    return compile_int8(network, skeleton_of(arguments, network, "--precision int8"), arguments.options,
                        arguments.calibration, arguments.verify.max_drop);
  }
  if (!is_exported_model(arguments.model)) return compiler::compile_snapshot(arguments.model, arguments.options);
  const NetworkFile network = read_network_file(arguments.model);
  return compiler::compile(network.graph, network.weights, {network.config_yaml, network.skeleton_yaml, network.trust},
                           arguments.options);
}

void write_plan(Arguments& arguments) {
  arguments.options.dump_passes = arguments.dump_passes;
  if (!arguments.precision.empty()) arguments.options.precision = arguments.precision;
  auto plan = compile_plan(arguments);
  const std::string& precision = plan->metadata.precision;
  if (arguments.options.target == "cpu" && !runtime::cpu_computes(precision)) {
    std::fprintf(stderr, "compile: this CPU has no %s arithmetic; the plan will run in f32 here\n", precision.c_str());
  }
  if (arguments.tuning.tune) plan = tune_plan(*plan, arguments.tuning, arguments.calibration.json);
  plan::write_plan(arguments.out, *plan);
  std::fprintf(stderr, "%s: %zu steps for %s in %s, %.1f MB of weights, %.1f MB of working memory per person\n",
               arguments.out.c_str(), plan->steps.size(), plan->metadata.target.c_str(),
               plan->metadata.precision.c_str(), static_cast<double>(plan->data_bytes()) * 1e-6,
               static_cast<double>(plan->arena_bytes) * 1e-6);
}

// Opens what was written and the same network in f32 on the reference backend.
void verify_model(const Arguments& arguments) {
  const NetworkFile network = read_network_file(arguments.model);
  compiler::CompileOptions reference_options;
  reference_options.target = "reference";
  const auto reference =
      runtime::open_session(compiler::compile(network.graph, network.weights,
                                              {network.config_yaml, network.skeleton_yaml}, reference_options),
                            {});
  runtime::SessionOptions options;
  options.device = arguments.verify.device;
  const auto model = runtime::open_session(arguments.out, options);
  verify(*model, *reference, skeleton_of(arguments, network, "--verify"), arguments.verify);
}

void run(Arguments& arguments) {
  check_ascend_flags(arguments.ascend, arguments.options.target, arguments.model);
  check_verify_flags(arguments.verify);
  check_tuning_flags(arguments.tuning, arguments.options.target, arguments.precision);
  check_calibration_flags(arguments.calibration, arguments.precision, arguments.tuning.tune);
  if (!arguments.verify.pictures.empty() && arguments.ascend.emit_only) {
    throw bad_input("--verify needs a compiled model, and --emit-only asks for none");
  }
  check_can_write(arguments.out);  // before minutes of tuning or atc
  if (is_ascend_target(arguments.options.target)) {
    compile_for_ascend(read_network_file(arguments.model), arguments.options.target, arguments.precision,
                       arguments.ascend, arguments.out);
  } else {
    write_plan(arguments);
  }
  if (!arguments.verify.pictures.empty()) verify_model(arguments);
}

std::function<void()> setup(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("MODEL", arguments->model, "snapshot (.safetensors), .pb or .onnx")->required();
  app.add_option("--target", arguments->options.target, "cpu, reference or ascend:SOC (ascend:310P3)")
      ->capture_default_str();
  app.add_option("--precision", arguments->precision,
                 "f32, int8; cpu: also bf16; ascend: f32, f16 or mixed (default mixed)");
  app.add_option("--out", arguments->out, "the plan, or for ascend the .om to write")->required();
  app.add_option("--dump-passes", arguments->dump_passes, "folder for the graph after every pass");
  add_ascend_flags(app, arguments->ascend);
  add_verify_flags(app, arguments->verify);
  add_calibration_flags(app, arguments->calibration);
  add_tuning_flags(app, arguments->tuning);
  return [arguments] { run(*arguments); };
}

const CommandRegistration registration{"compile", "an offline model for one target", &setup};

}  // namespace
}  // namespace posefix::cli

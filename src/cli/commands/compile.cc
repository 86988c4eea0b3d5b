// posefix compile: a snapshot becomes an offline model for one target.
#include <cstdio>

#include "base/error.h"
#include "cli/command.h"
#include "compiler/compile.h"
#include "plan/plan_file.h"

namespace posefix::cli {
namespace {

struct Arguments {
  std::string model;
  std::string out;
  compiler::CompileOptions options;
  std::string dump_passes;
};

void run(Arguments& arguments) {
  arguments.options.dump_passes = arguments.dump_passes;
  const auto plan = compiler::compile_snapshot(arguments.model, arguments.options);
  plan::write_plan(arguments.out, *plan);
  std::fprintf(stderr, "%s: %zu steps for %s in %s, %.1f MB of weights, %.1f MB of working memory per person\n",
               arguments.out.c_str(), plan->steps.size(), plan->metadata.target.c_str(),
               plan->metadata.precision.c_str(), static_cast<double>(plan->data().size()) * 1e-6,
               static_cast<double>(plan->arena_bytes) * 1e-6);
}

std::function<void()> setup(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("model", arguments->model, "snapshot (.safetensors)")->required();
  app.add_option("--target", arguments->options.target, "cpu or reference")->capture_default_str();
  app.add_option("--precision", arguments->options.precision, "f32, or bf16 for the cpu")->capture_default_str();
  app.add_option("--out", arguments->out, "the plan to write")->required();
  app.add_option("--dump-passes", arguments->dump_passes, "folder for the graph after every pass");
  return [arguments] { run(*arguments); };
}

const CommandRegistration registration{"compile", "an offline model for one target", &setup};

}  // namespace
}  // namespace posefix::cli

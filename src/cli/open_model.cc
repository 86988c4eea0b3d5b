#include "cli/open_model.h"

#include "base/error.h"
#include "base/file.h"
#include "compiler/compile.h"
#include "plan/plan_file.h"

namespace posefix::cli {

std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path,
                                             const runtime::SessionOptions& options) {
  MappedFile::open(path);  // says what lies there instead if the file does not exist
  if (options.backend == "torch" || plan::is_plan_file(path)) return runtime::open_session(path, options);
  if (path.extension() != ".safetensors") {
    throw bad_input(
        "{}: is neither an offline model (.plan) nor a snapshot (.safetensors); make one with `posefix "
        "compile` or `posefix init`",
        path.string());
  }
  compiler::CompileOptions compile;
  if (!options.backend.empty()) compile.target = options.backend;
  return runtime::open_session(compiler::compile_snapshot(path, compile), options);
}

}  // namespace posefix::cli

#include "compiler/open_model.h"

#include "compiler/compile.h"
#include "plan/plan_file.h"

namespace posefix::compiler {

std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path,
                                             const runtime::SessionOptions& options) {
  const bool is_foreign = options.backend == "torch" || options.backend == "ascend" || path.extension() == ".om";
  if (is_foreign || plan::is_plan_file(path)) return runtime::open_session(path, options);
  CompileOptions compile_options;
  if (!options.backend.empty()) compile_options.target = options.backend;
  return runtime::open_session(compile_snapshot(path, compile_options), options);
}

}  // namespace posefix::compiler

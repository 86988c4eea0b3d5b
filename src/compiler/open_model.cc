#include "compiler/open_model.h"

#include <malloc.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "compiler/compile.h"
#include "plan/plan_file.h"

namespace posefix::compiler {
namespace {

// The plan by way of a file without a name: its weights are then pages that the system can drop, where a plan in
// memory would stay beside the copies that the backend makes of it.
std::shared_ptr<const plan::Plan> paged(std::shared_ptr<const plan::Plan> plan) {
  const std::string name =
      "posefix-" + std::to_string(::getpid()) + "-" + std::to_string(reinterpret_cast<uintptr_t>(plan.get())) + ".plan";
  std::error_code error;
  const std::filesystem::path path = std::filesystem::temp_directory_path(error) / name;
  if (error) return plan;
  try {
    plan::write_plan(path, *plan);
    plan.reset();
    ::malloc_trim(0);  // the weights lay in small blocks, which glibc would keep
    std::shared_ptr<const plan::Plan> mapped = plan::read_plan(path, false);
    std::filesystem::remove(path, error);
    return mapped;
  } catch (const Error&) {  // a full disk: what is in memory works too
    std::filesystem::remove(path, error);
    if (!plan) throw;
    return plan;
  }
}

}  // namespace

std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path,
                                             const runtime::SessionOptions& options) {
  MappedFile::open(path);  // says what lies there instead if there is no such file
  const bool is_foreign = options.backend == "torch" || options.backend == "ascend" || path.extension() == ".om";
  if (is_foreign || plan::is_plan_file(path)) return runtime::open_session(path, options);
  CompileOptions compile_options;
  if (!options.backend.empty()) compile_options.target = options.backend;
  return open_compiled(compile_snapshot(path, compile_options), options);
}

std::unique_ptr<runtime::Session> open_compiled(std::shared_ptr<const plan::Plan> plan,
                                                const runtime::SessionOptions& options) {
  return runtime::open_session(paged(std::move(plan)), options);
}

}  // namespace posefix::compiler

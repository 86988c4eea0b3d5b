// MODEL of the command line and of the C API: a plan, or a snapshot that is compiled in memory.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/session.h"

namespace posefix::compiler {

// By content: a plan is opened as it is; anything else is read as a snapshot and compiled for options.backend ("" is
// cpu) in f32. Error (bad input) names the file.
std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path, const runtime::SessionOptions& options);

}  // namespace posefix::compiler

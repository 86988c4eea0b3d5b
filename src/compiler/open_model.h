// MODEL of the command line and of the C API: a plan, an Ascend offline model, or a snapshot that is compiled in
// memory.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/session.h"

namespace posefix::compiler {

// A plan (by content) and an .om (by name) are opened as they are; anything else is read as a snapshot and compiled for
// options.backend ("" is cpu) in f32. Error (bad input) names the file.
std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path, const runtime::SessionOptions& options);

}  // namespace posefix::compiler

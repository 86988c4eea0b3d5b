// MODEL of the command line: an offline model (.plan) or a snapshot, which is compiled in memory.
#pragma once

#include <filesystem>
#include <memory>

#include "runtime/session.h"

namespace posefix::cli {

// Error (bad input) names the file and what it should have been.
std::unique_ptr<runtime::Session> open_model(const std::filesystem::path& path, const runtime::SessionOptions& options);

}  // namespace posefix::cli

// Where the project lies, for tests that read its files. One source file alone holds the absolute path, so that a
// compiler cache serves the others in any clone.
#pragma once

#include <filesystem>

namespace posefix {

// Absolute.
std::filesystem::path project_folder();

}  // namespace posefix

// Where golden tests find their vectors and pictures: $POSEFIX_GOLDENS and $POSEFIX_GOLDEN_DATA, by default the
// project's own copies. For tests alone.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/testing/project_folder.h"

namespace posefix::pose {

inline std::filesystem::path golden_folder(const char* variable, const char* fallback) {
  const char* set = std::getenv(variable);
  return set != nullptr ? std::filesystem::path(set) : posefix::project_folder() / fallback;
}

inline std::filesystem::path goldens() { return golden_folder("POSEFIX_GOLDENS", "tests/golden"); }
inline std::filesystem::path golden_data() { return golden_folder("POSEFIX_GOLDEN_DATA", "tests/golden_data"); }

// Files of `folder` whose name ends with `suffix`, sorted; an absent folder or no such file is a failure.
inline std::vector<std::filesystem::path> golden_files(const std::filesystem::path& folder, const std::string& suffix) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string().ends_with(suffix)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  EXPECT_FALSE(files.empty()) << folder << " holds no *" << suffix;
  return files;
}

inline nlohmann::json read_golden(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << "cannot open " << path;
  return nlohmann::json::parse(file, nullptr, false);
}

}  // namespace posefix::pose

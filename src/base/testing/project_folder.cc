#include "base/testing/project_folder.h"

namespace posefix {

std::filesystem::path project_folder() { return POSEFIX_SOURCE_DIR; }

}  // namespace posefix

// Nearest known names, for "did you mean" messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace posefix {

// Levenshtein distance in bytes.
size_t edit_distance(std::string_view a, std::string_view b);

// The known name nearest to `name`, or "" if `known` is empty.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace posefix

// What `posefix inspect` says of files that hold no network: poses, annotations, error statistics, skeletons,
// configurations, pictures. They are told apart by their content.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

namespace posefix::cli {

// {"file", "format", then what there is to count}; nothing if the file is of another kind (weights, a plan, ...).
// Error (bad input) if it looks like one of these and is not sound.
std::optional<nlohmann::ordered_json> describe_data_file(const std::filesystem::path& path);

}  // namespace posefix::cli

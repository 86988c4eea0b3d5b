// posefix compile --precision int8: the crops that it is calibrated on, the limit on what it may lose, and its report.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <optional>

#include "cli/network_file.h"
#include "compiler/compile.h"
#include "pose/skeleton.h"

namespace posefix::cli {

struct CalibrationFlags {
  std::filesystem::path pictures;     // --calibration
  std::filesystem::path poses;        // input poses
  std::filesystem::path annotations;  // with poses: AP decides; alone: poses are synthesised from them
  size_t people = 64;
  size_t held_out = 64;
  bool json = false;
};

void add_calibration_flags(CLI::App& app, CalibrationFlags& flags);
// Error (bad input) for flags that say something of int8 when another precision is asked for; --json is also of --tune.
void check_calibration_flags(const CalibrationFlags& flags, const std::string& precision, bool tunes);

// The plan, calibrated; prints what it was calibrated on (stderr) and the report (stdout). `max_drop` in AP where poses
// and annotations are given, in px else. Error (bad input) without --calibration.
std::shared_ptr<const plan::Plan> compile_int8(const NetworkFile& network, const pose::Skeleton& skeleton,
                                               compiler::CompileOptions options, const CalibrationFlags& flags,
                                               const std::optional<double>& max_drop);

}  // namespace posefix::cli

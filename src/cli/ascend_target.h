// posefix compile --target ascend:SOC, and what inspect does with an .om.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/network_file.h"

namespace posefix::cli {

// Those that have a value are empty where they were not given.
struct AscendFlags {
  std::optional<std::string> batch;
  std::optional<std::string> via;
  std::optional<double> timeout_s;
  std::string skeleton;
  bool aipp = false;
  bool emit_only = false;
};

void add_ascend_flags(CLI::App& app, AscendFlags& flags);

// Error (bad input): flags for atc with another target, or a `model` that is compiled for a device already.
void check_ascend_flags(const AscendFlags& flags, const std::string& target, const std::filesystem::path& model);

// True for "ascend:310P3".
bool is_ascend_target(const std::string& target);

// `precision` is "" for the default (mixed). Error (failed) when atc is not there and --emit-only was not given: the
// files for running it elsewhere are written all the same.
void compile_for_ascend(const NetworkFile& network, const std::string& target, const std::string& precision,
                        const AscendFlags& flags, const std::filesystem::path& om);

// Prints the sidecar; with `write_sidecar` asks the device's driver for the model's description and writes one first.
// `skeleton` is a name or file for that, "" for none.
void inspect_om(const std::filesystem::path& om, bool write_sidecar, const std::string& skeleton);

}  // namespace posefix::cli

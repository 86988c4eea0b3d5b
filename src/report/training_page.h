// One HTML page about a training run: what it was, on which machine, how long, and its curves. Self-contained: inline
// SVG, no scripts, nothing is loaded.
#pragma once

#include <filesystem>

namespace posefix::report {

// Reads RUN/metrics.jsonl and RUN/config.yaml, as training writes them. Atomic. Error (bad input) when `run` is no run
// folder.
void write_training_page(const std::filesystem::path& run, const std::filesystem::path& page);

}  // namespace posefix::report

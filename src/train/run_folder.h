// The folder of a training run.
//
//   RUN/config.yaml          resolved configuration of the latest start
//   RUN/last.safetensors     newest snapshot, replaced atomically
//   RUN/metrics.jsonl        a line every train.log_every steps; cut back to the snapshot's step on resume
//   RUN/non_finite.safetensors  the state and the batch of a step whose loss was not finite
//
// Invariants: a run is never overwritten without being asked for; one process at a time writes it (a lock that the
// kernel releases with the process); whatever kills the process leaves it resumable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensorfile/snapshot.h"

namespace posefix::train {

class RunFolder {
 public:
  // Makes the folder. Error (bad input): it holds a run already and `resume` is false; Error (failed): another process
  // writes it, or it cannot be made.
  RunFolder(std::filesystem::path folder, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::filesystem::path last() const { return folder_ / "last.safetensors"; }
  std::filesystem::path config() const { return folder_ / "config.yaml"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  std::filesystem::path non_finite() const { return folder_ / "non_finite.safetensors"; }

  // The snapshot to go on from, if there is one.
  std::optional<tensorfile::Snapshot> read_last() const;

  // Drops the metrics of steps beyond `step` (and a torn last line), then opens the file for appending.
  void open_metrics(int64_t step);
  void append_metrics(const std::string& json_line);

 private:
  std::filesystem::path folder_;
  int lock_ = -1;
  std::ofstream metrics_file_;
};

// Error (bad input) with the keys that differ, unless all of them are in `may_differ`.
void check_same_config(const std::string& stored_yaml, const std::string& now_yaml,
                       const std::vector<std::string>& may_differ, const std::string& source);

}  // namespace posefix::train

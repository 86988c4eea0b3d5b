// The folder of a training run.
//
//   RUN/config.yaml          resolved configuration of the latest start
//   RUN/last.safetensors     newest snapshot, replaced atomically
//   RUN/step_N.safetensors   the train.keep_last newest snapshots, by step
//   RUN/best.safetensors     the snapshot with the best validation
//   RUN/metrics.jsonl        a line every train.log_every steps ("loss" and so on), for every validation ("validation")
//                            and every start ("start"); cut back to the snapshot's step on resume
//   RUN/events.out.tfevents.*  the same figures for TensorBoard; a file for every start
//   RUN/report.html          curves, configuration and machine, when the run ends
//   RUN/non_finite.safetensors  the state and the batch of a step whose loss was not finite; with several processes
//                               non_finite.rankR.safetensors, of the rank where it happened
//
// Invariants: a run is never overwritten without being asked for; one process at a time writes it (a lock that the
// kernel releases with the process); whatever kills the process leaves it resumable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/event_file.h"
#include "tensorfile/snapshot.h"

namespace posefix::train {

class RunFolder {
 public:
  // Makes the folder. Error (bad input): it holds a run already and `resume` is false; Error (failed): another process
  // writes it, or it cannot be made. `writes` false: of a process that leaves the folder to rank 0; nothing is made,
  // there is no snapshot to read, and metrics go nowhere.
  RunFolder(std::filesystem::path folder, bool resume, bool writes = true);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  std::filesystem::path last() const { return folder_ / "last.safetensors"; }
  std::filesystem::path best() const { return folder_ / "best.safetensors"; }
  std::filesystem::path config() const { return folder_ / "config.yaml"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }
  std::filesystem::path non_finite() const { return folder_ / "non_finite.safetensors"; }
  std::filesystem::path non_finite(int64_t rank) const;
  bool writes() const { return writes_; }

  std::filesystem::path report() const { return folder_ / "report.html"; }

  // The snapshot to go on from, if there is one. Error (bad input) for a damaged one names those to go back to.
  std::optional<tensorfile::Snapshot> read_last() const;

  // Replaces last.safetensors, and keeps it by its step as well: the newest `keep` ones. Error (failed) on a full disk;
  // then last.safetensors is what it was.
  void write_last(const tensorfile::Snapshot& snapshot, int64_t step, int64_t keep) const;

  // A validation's step and score, by step.
  using Scores = std::vector<std::pair<int64_t, double>>;
  // Drops the metrics of steps beyond `step` (and a torn last line), then opens the files for appending. Returns the
  // validations that remain.
  Scores open_metrics(int64_t step);
  // One line, with "step"; its numbers go to TensorBoard's file as well, those of an inner object under its name.
  void append_metrics(const nlohmann::ordered_json& line);

 private:
  std::filesystem::path folder_;
  bool writes_;
  int lock_ = -1;
  std::ofstream metrics_file_;
  std::optional<report::EventFile> events_;
};

// Error (bad input) with the keys that differ, unless all of them are in `may_differ`.
void check_same_config(const std::string& stored_yaml, const std::string& now_yaml,
                       const std::vector<std::string>& may_differ, const std::string& source);

}  // namespace posefix::train

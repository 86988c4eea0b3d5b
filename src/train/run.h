// A whole training run: configuration, data, network, loop. No LibTorch in this header: the program loads
// libposefix_train.so when the verb is used, so that other verbs never map LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace posefix::train {

struct RunRequest {
  std::filesystem::path config;  // YAML file
  std::vector<std::string> set;  // key=value, over the file
  std::filesystem::path out;     // run folder
  std::string device = "auto";   // see torchgraph/device.h; of several processes each has its own of that kind
  int64_t steps = -1;            // in all; -1: the recipe's
  bool resume = false;
  std::filesystem::path replay;     // a non_finite.safetensors: runs its step again and reports; out is not needed
  bool quiet = false;               // no progress
  bool (*interrupted)() = nullptr;  // whether a signal came while the library was loaded; see train_module.cc
  std::function<void(const std::string& line)> log;     // the resolved configuration, the device, skipped pictures
  std::function<void(const std::string& line)> result;  // of a replay
};

// Whether this process is the one that owns the run folder: alone, or rank 0. Trains, alone or as one of the processes
// that a launcher started (launch_environment.h). Error (bad input) for the configuration, the data or the folder; see
// loop.h for the others.
bool run(const RunRequest& request);

// What libposefix_train.so exports.
using TrainEntry = bool(const RunRequest* request);
inline constexpr const char* kTrainLibrary = "libposefix_train.so";
inline constexpr const char* kTrainEntry = "posefix_train_run";

}  // namespace posefix::train

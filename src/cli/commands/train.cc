// posefix train: trains a network in a run folder; see train/run.h.
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/module.h"
#include "cli/command.h"
#include "cli/local_processes.h"
#include "cli/trust_calibration.h"
#include "train/run.h"

namespace posefix::cli {
namespace {

std::function<void()> setup(CLI::App& app) {
  auto request = std::make_shared<train::RunRequest>();
  auto processes = std::make_shared<int64_t>(0);
  app.add_option("--config", request->config, "YAML file: model, data, augment and train keys");
  app.add_option("--out", request->out, "run folder: last.safetensors, metrics.jsonl, config.yaml");
  app.add_option("--set", request->set, "key=value over the file; may be repeated")->take_all();
  app.add_option("--steps", request->steps, "stop after this many optimiser steps in all, with a snapshot")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--device", request->device, "auto, cpu, cuda[:N] or npu[:N]")->capture_default_str();
  app.add_option("--procs", *processes, "start this many local processes that train together (0: train here)")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--resume", request->resume, "go on with the run in --out, or start it");
  app.add_option("--replay", request->replay, "run the step of a non_finite.safetensors again and report");
  return [request, processes] {
    if (request->replay.empty() && (request->config.empty() || request->out.empty())) {
      throw bad_input("train: --config and --out are needed (or --replay FILE)");
    }
    if (*processes > 0 && request->replay.empty() && !is_local_process()) return run_local_processes(*processes);
    CalibrationRequest calibration;
    if (request->replay.empty()) calibration = calibration_keys(request->config, request->set);
    if (!calibration.poses.empty()) check_files(calibration);
    request->log = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
    request->result = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
    request->interrupted = &interrupted;
    auto* entry = reinterpret_cast<train::TrainEntry*>(load_from_module(
        train::kTrainLibrary, train::kTrainEntry, "build with POSEFIX_TORCH=ON (needs LibTorch) to train"));
    const bool owns_the_folder = entry(request.get());
    if (calibration.poses.empty() || !owns_the_folder) return;
    calibration.snapshot = request->out / "last.safetensors";
    calibration.out = request->out / "calibrated.safetensors";
    print_calibration(calibrate(calibration), false);
    std::fprintf(stderr, "calibrate: wrote %s\n", calibration.out.c_str());
  };
}

const CommandRegistration registration{"train", "train a network, resumable at any step", &setup};

}  // namespace
}  // namespace posefix::cli

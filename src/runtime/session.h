// An offline model ready to run: crops and poses in, refined poses out.
//
// A Session owns its backend's memory and threads. It is not thread-safe: one caller at a time; several sessions may
// run side by side, and those of one plan (the same pointer, or the same unchanged file) share its weights on the cpu.
// No allocation happens in run() but for the first batch of a size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/choice.h"

namespace posefix::plan {
class Plan;
}

namespace posefix::runtime {

// What the model expects, from the plan's metadata.
struct ModelInfo {
  int64_t height = 0;          // H, crop
  int64_t width = 0;           // W, crop
  int64_t joints = 0;          // K
  int64_t heatmap_stride = 4;  // crop px per heat-map px
  std::string precision;       // that it runs in: "f32", "bf16", "f16", "int8"
  std::string backend;         // that runs it: "cpu", "reference", ...
  std::string config_yaml;     // resolved configuration it was built from
  std::string skeleton_yaml;
  std::string trust;       // calibration as text (trust/trust.h), "" when the model carries none
  bool has_spread = true;  // false: RefinedBatch::spread comes back as NaN
  // The precision that it was compiled for, where this machine has no instructions for that; "" elsewhere.
  std::string missing_precision = {};
  // Why what the plan was tuned to is not used, or not all of it: another CPU. "" elsewhere.
  std::string tuning_notice = {};
};

struct SessionOptions {
  std::string backend = {};  // "" = what the model was compiled for
  std::string device = {};   // a name that the backend knows; "" = its default
  int64_t max_batch = 8;
  int threads = 0;  // 0 = all cores
  // Batches that are worked on side by side, each on its part of the threads (cpu; no more than there are threads).
  // Answers do not depend on it; every stream has its own memory for feature maps.
  int streams = 1;
  std::string precision = {};  // that the torch backend computes in: "" or "f32", "bf16", "f16"
  // Batches of max_batch are recorded once and launched whole (torch, on devices that can; else Error (bad input)).
  bool device_graphs = false;
};

// B <= max_batch persons, back to back.
struct CropBatch {
  int64_t size = 0;                // B
  std::span<const uint8_t> crops;  // [B,H,W,3] BGR u8, mean not subtracted
  std::span<const float> pose;     // [B,K,2] crop_px
  std::span<const float> valid;    // [B,K] 0 or 1
};

struct RefinedBatch {
  std::span<float> coords;  // [B,K,2] crop_px
  std::span<float> spread;  // [B,K] crop_px standard deviation of the heat map; may be empty: not wanted
};

// One execution of a step: from the end of the step before it, or the start of its round, to its own end.
struct StepRun {
  double start_ms = 0;  // since the first round began
  double ms = 0;
};

// What one step of the model cost in measured runs of a whole batch.
struct StepTime {
  std::string name;
  std::string kernel;         // op and implementation
  std::string precision;      // of its arithmetic: "f32", "bf16", "int8"
  double ms = 0;              // median over the rounds
  double gflop = 0;           // of the plain algorithm
  double mbyte = 0;           // 1e6 bytes: inputs and result once, weights once as the plan stores them
  std::vector<StepRun> runs;  // one a round
  int32_t step = 0;           // index in the plan
  // In which ways it can be computed here, the one that it is computed in first; fewer than two: no choice.
  std::vector<plan::Choice> candidates;
};

class Session {
 public:
  virtual ~Session() = default;

  // Overlap, where a backend has it: submit() queues a batch and may return before it is done; wait() finishes the
  // oldest one, whose output is valid from then on (before that neither input nor output may be touched). At most
  // max_in_flight() batches between submit() and wait(). An Error from either drops every batch in flight.
  // run() is submit() and wait(); here, without overlap, submit() is run().
  virtual int64_t max_in_flight() const { return 1; }
  virtual void submit(const CropBatch& input, const RefinedBatch& output) { run(input, output); }
  virtual void wait() {}

  virtual const ModelInfo& info() const = 0;
  virtual int64_t max_batch() const = 0;
  // Any 1 <= B <= max_batch(). Error (failed) from the device.
  virtual void run(const CropBatch& input, const RefinedBatch& output) = 0;

  // [B,h,w,C] f32 of a value that the plan keeps (compiler::CompileOptions::keep), as of the last run().
  // Error (bad input) if the plan does not keep it or the backend cannot show it.
  virtual std::vector<float> kept(const std::string& name) const;
  // Times every step, in the order of execution, over rounds >= 1 runs of the same input. Error (bad input) where the
  // backend cannot.
  virtual std::vector<StepTime> measure_steps(const CropBatch& input, int rounds);
};

// True if the cpu backend is built in and this machine has arithmetic for the precision ("f32", "bf16", "int8"); where
// it has none, plans of that precision run in f32 there.
bool cpu_computes(const std::string& precision);

// The CPU as the cpu backend sees it: maker, model, instruction sets (DNNL_MAX_CPU_ISA masks them) and oneDNN's
// version. What was tuned holds only where this text is the same. "" if the cpu backend is not built in.
std::string cpu_features();

// Opens a .plan. (Snapshots are compiled first by compiler/, .om files go to their own backend.)
// Error (bad input) for a corrupt, foreign or newer plan, or a backend that was not built in.
std::unique_ptr<Session> open_session(const std::filesystem::path& plan, const SessionOptions& options);

// The same for a plan in memory. The session keeps it only as long as it needs the weights.
std::unique_ptr<Session> open_session(std::shared_ptr<const plan::Plan> plan, const SessionOptions& options);

}  // namespace posefix::runtime

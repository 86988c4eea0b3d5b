// What posefix doctor looks at. Probes load libraries only when they run, change nothing and never throw: whatever they
// meet is a finding.
#pragma once

#include <string>
#include <vector>

namespace posefix::cli::doctor {

enum class Status {
  kOk,       // found and usable
  kNote,     // worth knowing; nothing is wrong
  kMissing,  // not here
  kBroken,   // here and unusable
};
const char* status_name(Status status);  // "ok", "note", "missing", "broken"

struct Finding {
  std::string what;  // "OpenBLAS"
  Status status = Status::kOk;
  std::string found;   // version, path, or what was looked for
  std::string advice;  // what to do about it, "" if nothing
};

struct DeviceReport {
  std::string device;    // "cpu", "cuda", "npu"
  bool refines = false;  // posefix refine would run there
  bool trains = false;   // posefix train would run there
  std::vector<Finding> findings;
};

DeviceReport probe_cpu();
DeviceReport probe_cuda();
DeviceReport probe_npu();

// The training library and the LibTorch it brings. `version` is "" if it cannot be loaded.
struct TorchFound {
  std::string version;  // "1.13.1"
  std::string path;     // of libtorch_cpu
  std::string problem;  // why it cannot be loaded
};
const TorchFound& find_torch();
Finding torch_finding();

}  // namespace posefix::cli::doctor

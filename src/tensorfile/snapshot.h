// A snapshot: a model's variables by their TF-slim names with what is needed to use them.
//
// On disk a safetensors file. Metadata keys: "posefix.config" (resolved YAML), "posefix.skeleton" (skeleton YAML),
// "posefix.step", "posefix.trust" (a calibration, trust/trust.h), the file's checksum (see safetensors.h; not in
// `metadata` here), and whatever training adds. Names that start with "optimizer/" or "train/" are not variables of the
// network: training state.
//
// The filters of a file may be f16 or bf16 (half_filters(), `posefix export --precision`); a Snapshot that was read
// holds f32 throughout.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/tensor.h"

namespace posefix::tensorfile {

struct Snapshot {
  NamedTensors variables;  // the network's
  NamedTensors state;      // "optimizer/...", "train/..."
  std::map<std::string, std::string> metadata;

  const std::string& config_yaml() const;    // Error (bad input) if the file carries none
  const std::string& skeleton_yaml() const;  //
  std::string trust() const;                 // "" if the file carries none
};

// Error (bad input) if it is another kind of file; for a TensorFlow checkpoint it says how to make a snapshot of it.
Snapshot read_snapshot(const std::filesystem::path& path);
void write_snapshot(const std::filesystem::path& path, const Snapshot& snapshot);

// From f32 to f16 or bf16, each value rounded to nearest even.
Tensor narrowed(const Tensor& tensor, DType dtype);

// The filters (rank 4), nearly all bytes of a network, as f16 or bf16; vectors (batch norm, biases) stay f32.
// Error (bad input) names a filter with a value that is finite in f32 but not in `dtype`.
NamedTensors half_filters(const NamedTensors& variables, DType dtype);

}  // namespace posefix::tensorfile

// What an Ascend offline model (.om) does not say about itself: the sidecar M.om.json that stands beside M.om.
//
// JSON, one object:
//   "format": "posefix.om", "version": 1
//   "om": {"sha256": 64 hex digits ("": not compiled yet), "bytes": n}
//   "soc": "Ascend310P3", "precision": "f32" | "f16" | "mixed"
//   "batch": [16] (fixed) or the gears [1, 2, 4, 8], "dynamic_batch": bool
//   "inputs": [{"role": "image" | "pose" | "valid", "name", "dtype": "f32" | "f16" | "u8",
//               "layout": "NHWC" | "NCHW" | "BKC" | "BK", "shape": [-1 or batch, ...]}, ...] in the model's order
//   "outputs": [{"role": "coords" | "spread", "name", "dtype", "frame": "heatmap_px" | "crop_px", "shape"}, ...]
//   "heatmap_stride": crop px per heat-map px
//   "preprocessing": {"colour": "BGR", "mean": [b, g, r], "in_model": bool (AIPP subtracts it)}
//   "config_yaml", "skeleton_yaml"
//   "trust": calibration as text (trust/trust.h); absent when the model carries none
//   "atc": {"version", "command"}
// Unknown keys are kept out of the struct but are no error, so that a newer minor addition still loads.
//
// Invariants of an OmSidecar that was read: every role of the inputs once, a coords output, shapes agree with crop size
// and joints, batches ascending. Non-goals: the .om's own bytes (CANN's format).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/tensor.h"

namespace posefix::runtime::ascend {

struct OmTensor {
  std::string role;
  std::string name;
  DType dtype = DType::kF32;
  std::string layout;  // inputs
  std::string frame;   // outputs
  Shape shape;         // the first dimension is -1 for gears
};

struct OmSidecar {
  std::string om_sha256;
  uint64_t om_bytes = 0;
  std::string soc;
  std::string precision;
  std::vector<int64_t> batches;  // one, or the gears in ascending order
  bool is_dynamic = false;
  std::vector<OmTensor> inputs;
  std::vector<OmTensor> outputs;
  int64_t heatmap_stride = 4;
  std::array<double, 3> mean_bgr{};
  bool mean_in_model = false;
  std::string config_yaml;
  std::string skeleton_yaml;
  std::string trust;
  std::string atc_version;
  std::string atc_command;

  const OmTensor& input(std::string_view role) const;   // PFX_CHECK: the role is there
  const OmTensor* output(std::string_view role) const;  // nullptr if the model lacks it
  int64_t height() const;                               // H, crop
  int64_t width() const;                                // W, crop
  int64_t joints() const;                               // K
};

// "M.om" -> "M.om.json"
std::filesystem::path sidecar_path(const std::filesystem::path& om);

// Error (bad input) names the file, the key, what was expected and found.
OmSidecar read_om_sidecar(const std::filesystem::path& json);
std::string encode_om_sidecar(const OmSidecar& sidecar);
// Written beside and renamed.
void write_om_sidecar(const std::filesystem::path& json, const OmSidecar& sidecar);

// Error (bad input) if `om` is not the file that the sidecar was made for (size, sha256); a sidecar without a digest
// fits every file.
void check_om_digest(const OmSidecar& sidecar, const std::filesystem::path& om);

}  // namespace posefix::runtime::ascend

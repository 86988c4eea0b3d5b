// A frozen network -> an Ascend offline model: atc's command, its run, the sidecar.
//
// atc works in a folder of its own beside the output; M.om, its sidecar and the model file appear only when it
// succeeded. Without atc (or with emit_only) what is needed to run it elsewhere is written instead.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/ascend/atc.h"
#include "runtime/backends/ascend/om_sidecar.h"

namespace posefix::compiler::ascend {

// The network as an exporter wrote it: a frozen TensorFlow graph with inputs Placeholder, Placeholder_2,
// Placeholder_4 and output mul_15 in heat-map px, or an ONNX model with image, pose, valid and outputs coords, spread
// in crop px. Fixed to OmOptions::batches where that is one number, open otherwise.
struct FrozenNetwork {
  std::string bytes;
  bool is_onnx = false;
  int64_t height = 0;  // H, crop
  int64_t width = 0;   // W, crop
  int64_t joints = 0;  // K
  int64_t heatmap_stride = 4;
  std::array<double, 3> mean_bgr{};
  std::string config_yaml;
  std::string skeleton_yaml;
  std::string trust;  // calibration as text, "" for none
};

struct OmOptions {
  std::string soc;                   // see soc_name()
  std::vector<int64_t> batches{16};  // several: gears
  Precision precision = Precision::kMixed;
  bool aipp = false;       // the picture goes in as bytes
  bool emit_only = false;  // never run atc
  double timeout_s = 3600;
  std::function<void(std::string_view)> on_log;  // atc's output as it comes
};

struct OmResult {
  bool is_compiled = false;                    // false: atc is still to be run
  std::string command;                         // atc's, as typed in a shell
  std::vector<std::filesystem::path> written;  // files, the main one first
};

// "16" or "1,2,4,8", in ascending order. Error (bad input).
std::vector<int64_t> parse_batches(const std::string& text);

// `om` is M.om. Error (bad input): options that do not go together. Error (failed): atc's failure in words, its time
// limit. Without atc and without emit_only the files are written all the same and is_compiled is false.
OmResult compile_om(const FrozenNetwork& network, const OmOptions& options, const std::filesystem::path& om);

// The AIPP configuration that subtracts the mean from BGR bytes, with its explanation as comments.
std::string aipp_config(const FrozenNetwork& network);

}  // namespace posefix::compiler::ascend

// CANN's compiler, atc: where it is, how it is called, what it answers. Source: CANN's ATC documentation.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace posefix::compiler::ascend {

enum class Precision {
  kF32,    // every operator in the precision of the graph; some inference chips have no f32 convolution
  kF16,    // everything in f16
  kMixed,  // f16 where atc's lists allow it, the transposed convolutions as in the graph
};
// "f32", "f16", "mixed". Error (bad input) for others.
Precision parse_precision(const std::string& name);
std::string_view precision_name(Precision precision);

struct AtcInput {
  std::string name;
  Shape shape;  // -1 first for gears
};

struct AtcRequest {
  bool is_onnx = false;    // else a frozen TensorFlow graph
  std::string model_file;  // as atc will see it, relative to its working folder
  std::string output;      // "M" gives M.om
  std::vector<AtcInput> inputs;
  std::string out_nodes;       // "mul_15:0"; empty: the model's own outputs
  std::vector<int64_t> gears;  // empty: fixed
  std::string soc;             // "Ascend310P3"
  Precision precision = Precision::kMixed;
  std::string keep_dtype_file;  // kMixed
  std::string aipp_file;        // empty: the model takes numbers
};

// The arguments after "atc".
std::vector<std::string> atc_arguments(const AtcRequest& request);
// The command as a person types it: values with special characters in double quotes.
std::string shell_command(const std::vector<std::string>& arguments);

// "310P3" or "Ascend310P3" -> "Ascend310P3". Error (bad input) for what cannot be a chip's name.
std::string soc_name(const std::string& soc);

struct AtcSearch {
  std::optional<std::filesystem::path> program;         // the first that this user may execute
  std::optional<std::filesystem::path> not_executable;  // without one: the first that this user may not execute
};
// On $PATH, then in bin, compiler/bin and atc/bin of $ASCEND_TOOLKIT_HOME and $ASCEND_HOME_PATH.
AtcSearch find_atc();

// The error codes in atc's output with what they mean and what to do, one a line; "" if there are none.
std::string explain_atc_errors(std::string_view output);
bool is_atc_success(std::string_view output);

// What `atc --mode=6 --om=M.om` says about a compiled model; empty strings where it says nothing.
struct OmBuildInfo {
  std::string atc_version;
  std::string soc;
};
OmBuildInfo parse_build_info(std::string_view output);

}  // namespace posefix::compiler::ascend

#include "compiler/ascend/atc.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <set>

#include "base/error.h"

namespace posefix::compiler::ascend {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuccess = "ATC run success";

struct ErrorCode {
  std::string_view code;
  std::string_view words;
};
// CANN's error code reference.
constexpr std::array kErrorCodes{
    ErrorCode{"E10001",
              "an option's value is not valid; is the SOC's name right, and known to this CANN? (npu-smi info)"},
    ErrorCode{"E10002", "--input_shape is not well formed"},
    ErrorCode{"E10003", "a file of the command line is missing or may not be read"},
    ErrorCode{"E10005", "an option is not known: this atc is of another CANN version than the command was made for"},
    ErrorCode{"E10007", "a required option is missing"},
    ErrorCode{"E10011", "an input's shape is not fixed; --input_shape must name all inputs"},
    ErrorCode{"E10016", "a node of --out_nodes or --input_shape is not in the model"},
    ErrorCode{"E10018", "the gears of --dynamic_batch_size do not go with --input_shape"},
    ErrorCode{"E10019", "--input_shape does not fit the model"},
    ErrorCode{"E10035", "--dynamic_batch_size must have 2 to 100 gears"},
    ErrorCode{"E10041", "the model could not be read with this --framework"},
    ErrorCode{"E10044", "this machine has not enough memory to compile the model"},
    ErrorCode{"E10501", "an operator is not registered; is $ASCEND_OPP_PATH set? (source set_env.sh)"},
    ErrorCode{"E19005", "the model file could not be parsed"},
    ErrorCode{"E19010", "atc has no parser for one of the model's operators; this CANN is older than the model needs"},
    ErrorCode{"E19014", "an operator's attributes are not supported"},
    ErrorCode{"E19999", "an error inside atc; see ~/ascend/log"},
    ErrorCode{"E89999", "an operator could not be compiled for this SOC; see ~/ascend/log"},
    ErrorCode{"E90003", "operators were compiled without success; is Python with CANN's packages on the path?"},
    ErrorCode{"EZ3002", "an operator does not support its types on this SOC; f32 convolutions need --precision mixed"},
    ErrorCode{"EZ3003", "an operator is not supported on this SOC"},
    ErrorCode{"EZ9010", "atc has no parser for one of the model's operators; this CANN is older than the model needs"},
};

bool is_plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("_./-+").find(c) != std::string_view::npos;
}

std::string quoted(const std::string& value) {
  if (!value.empty() && std::all_of(value.begin(), value.end(), is_plain)) return value;
  std::string text;
  for (const char c : value) {
    if (std::string_view("\"\\$`").find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return fmt::format("\"{}\"", text);
}

std::string_view precision_mode(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return "must_keep_origin_dtype";
    case Precision::kF16:
      return "force_fp16";
    case Precision::kMixed:
      return "allow_mix_precision";
  }
  return "";
}

constexpr size_t kCodeLength = 6;

// A word of the form E10001 or EZ3002 at `at`.
bool is_error_code(std::string_view output, size_t at) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (at + kCodeLength > output.size() || (at > 0 && is_word(output[at - 1]))) return false;
  if (at + kCodeLength < output.size() && is_word(output[at + kCodeLength])) return false;
  const std::string_view digits = output.substr(at + 2, kCodeLength - 2);
  return (output[at + 1] == 'Z' || is_digit(output[at + 1])) && std::all_of(digits.begin(), digits.end(), is_digit);
}

// The text between "NAME[" and "]".
std::string bracketed(std::string_view output, const std::string& name) {
  const size_t begin = output.find(name + "[");
  if (begin == std::string_view::npos) return "";
  const size_t from = begin + name.size() + 1;
  const size_t end = output.find(']', from);
  return end == std::string_view::npos ? "" : std::string(output.substr(from, end - from));
}

}  // namespace

Precision parse_precision(const std::string& name) {
  for (const Precision precision : {Precision::kF32, Precision::kF16, Precision::kMixed}) {
    if (precision_name(precision) == name) return precision;
  }
  throw bad_input("--precision {}: for an Ascend target it is f32, f16 or mixed", name);
}

std::string_view precision_name(Precision precision) {
  return precision == Precision::kF32 ? "f32" : precision == Precision::kF16 ? "f16" : "mixed";
}

std::vector<std::string> atc_arguments(const AtcRequest& request) {
  std::string shapes;
  for (const AtcInput& input : request.inputs) {
    shapes += fmt::format("{}{}:{}", shapes.empty() ? "" : ";", input.name, fmt::join(input.shape, ","));
  }
  // AIPP converts a picture that lies as NHWC; otherwise no format is imposed on inputs of rank 2 and 3.
  const char* format = request.aipp_file.empty() ? "ND" : "NHWC";
  std::vector<std::string> arguments{request.is_onnx ? "--framework=5" : "--framework=3",
                                     "--model=" + request.model_file,
                                     fmt::format("--input_format={}", format),
                                     "--input_shape=" + shapes,
                                     "--output=" + request.output,
                                     "--output_type=FP32"};
  if (!request.out_nodes.empty()) arguments.push_back("--out_nodes=" + request.out_nodes);
  arguments.push_back("--soc_version=" + request.soc);
  if (!request.gears.empty()) {
    arguments.push_back(fmt::format("--dynamic_batch_size={}", fmt::join(request.gears, ",")));
  }
  if (!request.aipp_file.empty()) arguments.push_back("--insert_op_conf=" + request.aipp_file);
  arguments.push_back(fmt::format("--precision_mode={}", precision_mode(request.precision)));
  if (request.precision == Precision::kMixed) arguments.push_back("--keep_dtype=" + request.keep_dtype_file);
  return arguments;
}

std::string shell_command(const std::vector<std::string>& arguments) {
  std::string command = "atc";
  for (const std::string& argument : arguments) {
    const size_t value = argument.find('=') + 1;
    command += fmt::format(" {}{}", argument.substr(0, value), quoted(argument.substr(value)));
  }
  return command;
}

std::string soc_name(const std::string& soc) {
  constexpr std::string_view kPrefix = "Ascend";
  const std::string chip = soc.starts_with(kPrefix) ? soc.substr(kPrefix.size()) : soc;
  // Three digits and what tells the variants apart: 310, 310P3, 910B4-1.
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_variant = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  };
  constexpr size_t kLongest = 28;
  const bool is_chip = chip.size() >= 3 && chip.size() < kLongest &&
                       std::all_of(chip.begin(), chip.begin() + 3, is_digit) &&
                       std::all_of(chip.begin() + 3, chip.end(), is_variant);
  if (!is_chip) {
    throw bad_input(
        "--target ascend:{}: expected a chip's name such as ascend:310P3 or ascend:Ascend910B3; npu-smi info "
        "shows it",
        soc);
  }
  return fmt::format("{}{}", kPrefix, chip);
}

AtcSearch find_atc() {
  std::vector<fs::path> folders;
  if (const char* path = std::getenv("PATH")) {
    std::string_view rest = path;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) folders.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  for (const char* variable : {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"}) {
    const char* home = std::getenv(variable);
    for (const char* folder : {"bin", "compiler/bin", "atc/bin"}) {
      if (home != nullptr) folders.push_back(fs::path(home) / folder);
    }
  }
  AtcSearch search;
  for (const fs::path& folder : folders) {
    const fs::path atc = folder / "atc";
    std::error_code ignored;
    if (!fs::is_regular_file(atc, ignored)) continue;
    if (::access(atc.c_str(), X_OK) == 0) return {fs::absolute(atc), std::nullopt};
    if (!search.not_executable) search.not_executable = fs::absolute(atc);
  }
  return search;
}

std::string explain_atc_errors(std::string_view output) {
  std::string text;
  std::set<std::string> seen;
  for (size_t at = output.find('E'); at != std::string_view::npos; at = output.find('E', at + 1)) {
    if (!is_error_code(output, at)) continue;
    const std::string code(output.substr(at, kCodeLength));
    if (!seen.insert(code).second) continue;
    const auto* found = std::find_if(kErrorCodes.begin(), kErrorCodes.end(),
                                     [&](const ErrorCode& known) { return known.code == code; });
    text += fmt::format("\n  {}: {}", code,
                        found != kErrorCodes.end() ? found->words : "see CANN's error code reference and ~/ascend/log");
  }
  return text;
}

bool is_atc_success(std::string_view output) { return output.find(kSuccess) != std::string_view::npos; }

OmBuildInfo parse_build_info(std::string_view output) {
  return {bracketed(output, "atc_version"), bracketed(output, "soc_version")};
}

}  // namespace posefix::compiler::ascend

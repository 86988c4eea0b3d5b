#include "compiler/ascend/compile_om.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "compiler/ascend/child_process.h"

namespace posefix::compiler::ascend {
namespace {

namespace fs = std::filesystem;
using runtime::ascend::OmSidecar;

// Both spellings: the operator of a frozen TensorFlow graph and that of an ONNX model.
constexpr const char* kKeepDtype = "OpType::Conv2DBackpropInput\nOpType::Conv2DTranspose\n";
constexpr double kInfoTimeoutS = 120;

// File names of one compilation: M.om, M.pb, ...
struct Names {
  explicit Names(const fs::path& om, bool is_onnx)
      : stem(om.stem().string()), model(stem + (is_onnx ? ".onnx" : ".pb")) {}
  std::string stem;
  std::string model;
  std::string om() const { return stem + ".om"; }
  std::string sidecar() const { return om() + ".json"; }
  std::string keep_dtype() const { return stem + ".keep_dtype.txt"; }
  std::string aipp() const { return stem + ".aipp.cfg"; }
  std::string script() const { return stem + ".atc.sh"; }
};

// A folder beside the output that is gone when the work is done, well or not.
class WorkFolder {
 public:
  explicit WorkFolder(const fs::path& om) {
    std::string name =
        ((om.has_parent_path() ? om.parent_path() : fs::path(".")) / ("." + om.filename().string() + ".XXXXXX"))
            .string();
    if (::mkdtemp(name.data()) == nullptr) throw failed("cannot make the folder {}: {}", name, std::strerror(errno));
    path_ = name;
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void check_options(const FrozenNetwork& network, const OmOptions& options, const fs::path& om) {
  if (om.extension() != ".om") throw bad_input("--out {}: an Ascend model's name ends in .om", om.string());
  const std::string stem = om.stem().string();
  const auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  };
  if (!std::all_of(stem.begin(), stem.end(), is_plain)) {
    throw bad_input("--out {}: atc takes letters, digits, '_', '-' and '.' in a file name", om.string());
  }
  if (options.aipp && network.is_onnx) {
    throw bad_input("--aipp with --via onnx: AIPP feeds an ONNX model as NCHW, and this one takes NHWC; use --via pb");
  }
}

AtcRequest request_of(const FrozenNetwork& network, const OmOptions& options, const Names& names) {
  AtcRequest request;
  const bool has_gears = options.batches.size() > 1;
  const int64_t batch = has_gears ? -1 : options.batches.front();
  request.is_onnx = network.is_onnx;
  request.model_file = names.model;
  request.output = names.stem;
  const std::array<const char*, 3> inputs = network.is_onnx
                                                ? std::array{"image", "pose", "valid"}
                                                : std::array{"Placeholder", "Placeholder_2", "Placeholder_4"};
  request.inputs = {{inputs[0], {batch, network.height, network.width, 3}},
                    {inputs[1], {batch, network.joints, 2}},
                    {inputs[2], {batch, network.joints}}};
  if (!network.is_onnx) request.out_nodes = "mul_15:0";
  if (has_gears) request.gears = options.batches;
  request.soc = soc_name(options.soc);
  request.precision = options.precision;
  request.keep_dtype_file = names.keep_dtype();
  if (options.aipp) request.aipp_file = names.aipp();
  return request;
}

OmSidecar sidecar_of(const FrozenNetwork& network, const OmOptions& options, const AtcRequest& request) {
  OmSidecar sidecar;
  sidecar.soc = request.soc;
  sidecar.precision = precision_name(options.precision);
  sidecar.batches = options.batches;
  sidecar.is_dynamic = !request.gears.empty();
  const DType image_dtype = options.aipp ? DType::kU8 : DType::kF32;
  sidecar.inputs = {{"image", request.inputs[0].name, image_dtype, "NHWC", "", request.inputs[0].shape},
                    {"pose", request.inputs[1].name, DType::kF32, "BKC", "", request.inputs[1].shape},
                    {"valid", request.inputs[2].name, DType::kF32, "BK", "", request.inputs[2].shape}};
  const int64_t batch = request.inputs[0].shape[0];
  const Shape coords{batch, network.joints, 2};
  if (network.is_onnx) {
    sidecar.outputs = {{"coords", "coords", DType::kF32, "", "crop_px", coords},
                       {"spread", "spread", DType::kF32, "", "crop_px", {batch, network.joints}}};
  } else {
    sidecar.outputs = {{"coords", "mul_15", DType::kF32, "", "heatmap_px", coords}};
  }
  sidecar.heatmap_stride = network.heatmap_stride;
  sidecar.mean_bgr = network.mean_bgr;
  sidecar.mean_in_model = options.aipp;
  sidecar.config_yaml = network.config_yaml;
  sidecar.skeleton_yaml = network.skeleton_yaml;
  sidecar.trust = network.trust;
  sidecar.atc_command = shell_command(atc_arguments(request));
  return sidecar;
}

// What atc reads.
std::vector<std::pair<std::string, std::string>> input_files(const FrozenNetwork& network, const OmOptions& options,
                                                             const Names& names) {
  std::vector<std::pair<std::string, std::string>> files{{names.model, network.bytes}};
  if (options.precision == Precision::kMixed) files.emplace_back(names.keep_dtype(), kKeepDtype);
  if (options.aipp) files.emplace_back(names.aipp(), aipp_config(network));
  return files;
}

std::string script_text(const Names& names, const std::string& command) {
  return fmt::format(
      R"sh(#!/bin/sh
# Compiles {0} to {1} with CANN's atc, and enters the result's digest in its sidecar {2}.
# Copy the folder to a machine with the CANN toolkit, source its set_env.sh, and run this file.
set -e
cd "$(dirname "$0")"
{3}
[ -f {1} ] || mv {4}_*.om {1}  # atc adds system and architecture when they are not this machine's
digest=$(sha256sum {1} | cut -d ' ' -f 1)
bytes=$(wc -c < {1} | tr -d ' ')
sed -i -e "s/\"sha256\": \"[0-9a-f]*\"/\"sha256\": \"$digest\"/" -e "s/\"bytes\": [0-9]*/\"bytes\": $bytes/" {2}
)sh",
      names.model, names.om(), names.sidecar(), command, names.stem);
}

OmResult emit(const FrozenNetwork& network, const OmOptions& options, const fs::path& om, const AtcRequest& request,
              const Names& names) {
  const OmSidecar sidecar = sidecar_of(network, options, request);
  OmResult result{false, sidecar.atc_command, {}};
  const fs::path folder = om.parent_path();
  for (const auto& [name, text] : input_files(network, options, names)) {
    write_file_atomically(folder / name, text);
    result.written.push_back(folder / name);
  }
  runtime::ascend::write_om_sidecar(folder / names.sidecar(), sidecar);
  result.written.push_back(folder / names.sidecar());
  const fs::path script = folder / names.script();
  write_file_atomically(script, script_text(names, sidecar.atc_command));
  fs::permissions(script, fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add);
  result.written.push_back(script);
  return result;
}

void run_atc(const fs::path& atc, const std::vector<std::string>& arguments, const OmOptions& options,
             const fs::path& folder) {
  const ChildResult run = run_child(atc, arguments, folder, options.timeout_s, options.on_log);
  if (run.timed_out) {
    throw failed("{} did not finish within {:.0f} s and was ended with all its processes; --atc-timeout sets the limit",
                 atc.string(), options.timeout_s);
  }
  if (run.exit_code == 0 && is_atc_success(run.output)) return;
  const std::string how = run.signal != 0 ? fmt::format("was ended by signal {}", run.signal)
                                          : fmt::format("failed with exit code {}", run.exit_code);
  throw failed("{} {}{}\nThe command was: {}", atc.string(), how, explain_atc_errors(run.output),
               shell_command(arguments));
}

// M.om, or M_linux_x86_64.om where atc adds the system to the name.
fs::path find_om(const fs::path& folder, const Names& names) {
  if (fs::exists(folder / names.om())) return folder / names.om();
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(names.stem + "_") && name.ends_with(".om")) return entry.path();
  }
  throw failed("atc says that it succeeded but wrote no {}", names.om());
}

OmBuildInfo build_info(const fs::path& atc, const fs::path& om) {
  const ChildResult run =
      run_child(atc, {"--mode=6", "--om=" + om.filename().string()}, om.parent_path(), kInfoTimeoutS, {});
  return parse_build_info(run.output);
}

}  // namespace

std::vector<int64_t> parse_batches(const std::string& text) {
  constexpr int64_t kLargest = 1024;
  constexpr size_t kMostGears = 100;
  std::vector<int64_t> batches;
  const char* at = text.data();
  const char* end = text.data() + text.size();
  while (true) {
    int64_t batch = 0;
    const auto [stop, error] = std::from_chars(at, end, batch);
    if (error != std::errc() || batch < 1 || batch > kLargest || (stop != end && *stop != ',')) {
      throw bad_input("--batch {}: expected a number from 1 to {}, or several as in 1,2,4,8", text, kLargest);
    }
    batches.push_back(batch);
    if (stop == end) break;
    at = stop + 1;
  }
  std::sort(batches.begin(), batches.end());
  if (std::adjacent_find(batches.begin(), batches.end()) != batches.end() || batches.size() > kMostGears) {
    throw bad_input("--batch {}: expected different numbers, at most {} of them", text, kMostGears);
  }
  return batches;
}

std::string aipp_config(const FrozenNetwork& network) {
  std::string text = fmt::format(
      "# The picture goes in as bytes (NHWC, 3 channels) and AIPP turns them into the network's numbers on the way:\n"
      "#   number = (byte - mean_chn - min_chn) * var_reci_chn\n"
      "# The channels are B, G, R in this order as everywhere in this model; RGB888_U8 only says three bytes a pixel,\n"
      "# and with rbuv_swap_switch off none are exchanged. mean_chn takes whole numbers, min_chn the rest of the "
      "mean.\n"
      "aipp_op {{\n  aipp_mode: static\n  related_input_rank: 0\n  input_format: RGB888_U8\n"
      "  src_image_size_w: {}\n  src_image_size_h: {}\n  crop: false\n  csc_switch: false\n  rbuv_swap_switch: false\n",
      network.width, network.height);
  for (size_t c = 0; c < network.mean_bgr.size(); ++c) {
    const double whole = std::floor(network.mean_bgr[c]);
    text += fmt::format("  mean_chn_{0}: {1:.0f}\n  min_chn_{0}: {2:.6g}\n  var_reci_chn_{0}: 1.0\n", c, whole,
                        network.mean_bgr[c] - whole);
  }
  return text + "}\n";
}

OmResult compile_om(const FrozenNetwork& network, const OmOptions& options, const fs::path& om) {
  check_options(network, options, om);
  const Names names(om, network.is_onnx);
  const AtcRequest request = request_of(network, options, names);
  const std::optional<fs::path> atc = options.emit_only ? std::nullopt : find_atc().program;
  if (!atc) return emit(network, options, om, request, names);

  const WorkFolder work(om);
  for (const auto& [name, text] : input_files(network, options, names)) write_file_atomically(work.path() / name, text);
  run_atc(*atc, atc_arguments(request), options, work.path());
  const fs::path compiled = find_om(work.path(), names);
  const OmBuildInfo info = build_info(*atc, compiled);
  if (!info.soc.empty() && info.soc != request.soc) {
    throw failed("{} compiled for {} although {} was asked for; it is of another CANN version", atc->string(), info.soc,
                 request.soc);
  }
  OmSidecar sidecar = sidecar_of(network, options, request);
  sidecar.atc_version = info.atc_version;
  {
    const std::shared_ptr<const MappedFile> file = MappedFile::open(compiled);
    sidecar.om_bytes = file->bytes().size();
    sidecar.om_sha256 = sha256_hex(file->bytes());
  }
  const fs::path folder = om.parent_path();
  fs::rename(work.path() / names.model, folder / names.model);
  // Between these two steps a reader sees a model and a sidecar that do not belong together, and is told so.
  fs::rename(compiled, om);
  runtime::ascend::write_om_sidecar(folder / names.sidecar(), sidecar);
  return {true, sidecar.atc_command, {om, folder / names.sidecar(), folder / names.model}};
}

}  // namespace posefix::compiler::ascend

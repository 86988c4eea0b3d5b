#include "cli/ascend_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

#include "base/error.h"
#include "compiler/ascend/compile_om.h"
#include "exporters/graphdef_write.h"
#include "exporters/onnx_write.h"
#include "model/posefix_net.h"
#include "runtime/backends/ascend/ascend_session.h"
#include "runtime/backends/ascend/om_sidecar.h"

namespace posefix::cli {
namespace {

using compiler::ascend::FrozenNetwork;
using compiler::ascend::OmOptions;
using compiler::ascend::OmResult;
using runtime::ascend::OmSidecar;

constexpr std::string_view kPrefix = "ascend:";
constexpr const char* kDefaultBatch = "16";
constexpr const char* kDefaultVia = "pb";
constexpr double kDefaultTimeoutS = 3600;

FrozenNetwork freeze(const NetworkFile& network, const AscendFlags& flags, const std::vector<int64_t>& batches) {
  const Shape& image = network.graph.node(network.graph.find("image")).type.shape;
  const Shape& pose = network.graph.node(network.graph.find("pose")).type.shape;
  // With gears the batch stays open; atc fixes it per gear.
  const int64_t batch = batches.size() > 1 ? 0 : batches.front();
  FrozenNetwork frozen;
  frozen.is_onnx = flags.via.value_or(kDefaultVia) == "onnx";
  exporters::OnnxOptions onnx;
  onnx.batch = batch;
  frozen.bytes = frozen.is_onnx ? exporters::encode_onnx(network.graph, network.weights, onnx)
                                : exporters::encode_graphdef(network.graph, network.weights, {.batch = batch});
  frozen.height = image.at(1);
  frozen.width = image.at(2);
  frozen.joints = pose.at(1);
  frozen.heatmap_stride = model::kHeatmapStride;
  std::copy(std::begin(model::kImageMeanBgr), std::end(model::kImageMeanBgr), frozen.mean_bgr.begin());
  frozen.config_yaml = network.config_yaml;
  frozen.trust = network.trust;
  frozen.skeleton_yaml = flags.skeleton.empty() ? network.skeleton_yaml : pose::Skeleton::load(flags.skeleton).yaml;
  return frozen;
}

std::string names(const std::vector<std::filesystem::path>& files) {
  std::string text;
  for (const std::filesystem::path& file : files) text += (text.empty() ? "" : ", ") + file.string();
  return text;
}

}  // namespace

void add_ascend_flags(CLI::App& app, AscendFlags& flags) {
  app.add_option("--batch", flags.batch, "ascend: persons a run, or gears as in 1,2,4,8")->default_str(kDefaultBatch);
  app.add_option("--via", flags.via, "ascend: what atc reads, pb or onnx")
      ->default_str(kDefaultVia)
      ->check(CLI::IsMember({"pb", "onnx"}));
  app.add_flag("--aipp", flags.aipp, "ascend: pictures go in as bytes, the mean is subtracted on the device");
  app.add_flag("--emit-only", flags.emit_only, "ascend: write what atc needs and do not run it");
  app.add_option("--atc-timeout", flags.timeout_s, "ascend: seconds before atc is ended")
      ->default_str(fmt::to_string(kDefaultTimeoutS));
  app.add_option("--skeleton", flags.skeleton, "name or YAML file, for a model that carries none");
}

void check_ascend_flags(const AscendFlags& flags, const std::string& target, const std::filesystem::path& model) {
  if (model.extension() == ".om") {
    throw bad_input(
        "{}: is compiled for an Ascend device already, and weights cannot be read from it; compile the "
        "snapshot, .pb or .onnx file that it was made from",
        model.string());
  }
  if (flags.timeout_s && !(*flags.timeout_s > 0)) {
    throw bad_input("--atc-timeout {}: expected more than 0 seconds", *flags.timeout_s);
  }
  if (is_ascend_target(target)) return;
  const auto refuse = [&](bool is_given, const char* flag) {
    if (is_given) throw bad_input("{} goes with --target ascend:SOC, not with {}", flag, target);
  };
  refuse(flags.batch.has_value(), "--batch");
  refuse(flags.via.has_value(), "--via");
  refuse(flags.aipp, "--aipp");
  refuse(flags.emit_only, "--emit-only");
  refuse(flags.timeout_s.has_value(), "--atc-timeout");
}

bool is_ascend_target(const std::string& target) { return target.starts_with(kPrefix); }

void compile_for_ascend(const NetworkFile& network, const std::string& target, const std::string& precision,
                        const AscendFlags& flags, const std::filesystem::path& om) {
  OmOptions options;
  options.soc = target.substr(kPrefix.size());
  options.batches = compiler::ascend::parse_batches(flags.batch.value_or(kDefaultBatch));
  if (!precision.empty()) options.precision = compiler::ascend::parse_precision(precision);
  options.aipp = flags.aipp;
  options.emit_only = flags.emit_only;
  options.timeout_s = flags.timeout_s.value_or(kDefaultTimeoutS);
  options.on_log = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
  const OmResult result = compiler::ascend::compile_om(freeze(network, flags, options.batches), options, om);
  fmt::print(stderr, "{}\nwrote {}\n", result.command, names(result.written));
  if (result.is_compiled || flags.emit_only) return;
  if (const auto atc = compiler::ascend::find_atc(); atc.not_executable) {
    throw failed("{} may not be executed by this user, so {} was not made. chmod +x, or run {} where CANN is installed",
                 atc.not_executable->string(), om.string(), result.written.back().string());
  }
  throw failed(
      "atc was not found on $PATH or below $ASCEND_TOOLKIT_HOME and $ASCEND_HOME_PATH, so {} was not made. Run {} "
      "where CANN is installed; --emit-only asks for just these files",
      om.string(), result.written.back().string());
}

void inspect_om(const std::filesystem::path& om, bool write_sidecar, const std::string& skeleton) {
  const std::filesystem::path json = runtime::ascend::sidecar_path(om);
  if (write_sidecar) {
    OmSidecar sidecar = runtime::ascend::describe_om(om, "");
    std::copy(std::begin(model::kImageMeanBgr), std::end(model::kImageMeanBgr), sidecar.mean_bgr.begin());
    if (!skeleton.empty()) {
      const pose::Skeleton loaded = pose::Skeleton::load(skeleton);
      if (loaded.size() != sidecar.joints()) {
        throw bad_input("--skeleton {}: has {} joints, {} has {}", skeleton, loaded.size(), om.string(),
                        sidecar.joints());
      }
      sidecar.skeleton_yaml = loaded.yaml;
    }
    runtime::ascend::write_om_sidecar(json, sidecar);
    fmt::print(stderr, "wrote {}\n", json.string());
  }
  if (!std::filesystem::exists(json)) {
    throw bad_input(
        "{}: an Ascend model says what it holds in a sidecar, and {} is missing; --write-sidecar makes one "
        "where AscendCL and the device are",
        om.string(), json.string());
  }
  const OmSidecar sidecar = runtime::ascend::read_om_sidecar(json);
  runtime::ascend::check_om_digest(sidecar, om);
  const std::string text = runtime::ascend::encode_om_sidecar(sidecar);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace posefix::cli

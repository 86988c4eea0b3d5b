#include "model/config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/spelling.h"
#include "model/backbone.h"

namespace posefix::model {
namespace {

constexpr std::array<std::string_view, 5> kWidths{"1", "1/2", "1/4", "1/8", "1/16"};

std::string check_backbone(const std::string& name) {
  const std::vector<std::string> known = backbone_names();
  if (std::find(known.begin(), known.end(), name) != known.end()) return "";
  return fmt::format("must be one of {} (nearest: {})", fmt::join(known, ", "), nearest_name(name, known));
}

std::string check_width(const std::string& width) {
  if (std::find(kWidths.begin(), kWidths.end(), width) != kWidths.end()) return "";
  return fmt::format("must be one of {}", fmt::join(kWidths, ", "));
}

std::string check_input_size(const std::vector<int64_t>& size) {
  const bool good = size.size() == 2 && std::all_of(size.begin(), size.end(), [](int64_t side) {
                      return side >= 32 && side <= 4096 && side % 32 == 0;
                    });
  return good ? "" : "must be [height, width], both multiples of 32 up to 4096";
}

}  // namespace

int64_t ModelConfig::width_divisor() const { return width == "1" ? 1 : std::stoll(width.substr(2)); }

double ModelConfig::resolved_sigma_px() const {
  if (sigma_px > 0) return sigma_px;
  if (height() == 384) return 9;
  return 7.0 * static_cast<double>(height()) / 256;
}

void add_options(Options& options, ModelConfig& config) {
  options.add("model.backbone", &config.backbone, "the network's trunk",
              [&config] { return check_backbone(config.backbone); });
  options.add("model.width", &config.width, "channel multiplier: 1, 1/2, 1/4, 1/8 or 1/16",
              [&config] { return check_width(config.width); });
  options.add("model.input_size", &config.input_size, "crop [height, width] in px, multiples of 32",
              [&config] { return check_input_size(config.input_size); });
  options.add("model.skeleton", &config.skeleton, "a shipped skeleton's name or a YAML file");
  options.add("model.sigma", &config.sigma_px, "input heat maps' sigma in crop px; 0 = by height (7 at 256, 9 at 384)",
              [&config] { return config.sigma_px >= 0 ? std::string() : std::string("must not be negative"); });
}

ModelConfig config_from_yaml(std::string_view yaml, const std::string& name) {
  std::string kept;  // model.* alone; the other keys (train.*, ...) are of no use here
  try {
    const YAML::Node root = YAML::Load(std::string(yaml));
    if (!root.IsMap()) throw bad_input("{}: the configuration is not a map of keys", name);
    for (const auto& item : root) {
      YAML::Emitter value;
      value << YAML::Flow << item.second;
      const auto key = item.first.as<std::string>();
      if (key == "model" || key.starts_with("model.")) kept += fmt::format("{}: {}\n", key, value.c_str());
    }
  } catch (const YAML::Exception& error) {
    throw bad_input("{}: the configuration is not valid YAML: {}", name, error.what());
  }
  ModelConfig config;
  Options options;
  add_options(options, config);
  options.load_text(kept, name);
  return config;
}

}  // namespace posefix::model

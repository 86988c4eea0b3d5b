#include "model/backbone.h"

#include <fmt/format.h>

#include <map>

#include "base/error.h"
#include "base/spelling.h"

namespace posefix::model {
namespace {

std::map<std::string, BackboneBuilder>& registry() {
  static std::map<std::string, BackboneBuilder> backbones;
  return backbones;
}

}  // namespace

BackboneRegistration::BackboneRegistration(std::string name, BackboneBuilder builder) {
  const bool inserted = registry().emplace(std::move(name), std::move(builder)).second;
  PFX_CHECK(inserted);
}

const BackboneBuilder& find_backbone(const std::string& name) {
  const auto found = registry().find(name);
  if (found == registry().end()) {
    throw bad_input("model.backbone: unknown backbone '{}'; known are {}; nearest is '{}'", name,
                    fmt::join(backbone_names(), ", "), nearest_name(name, backbone_names()));
  }
  return found->second;
}

std::vector<std::string> backbone_names() {
  std::vector<std::string> names;
  for (const auto& [name, builder] : registry()) names.push_back(name);
  return names;
}

}  // namespace posefix::model

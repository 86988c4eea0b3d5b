#include "tensorfile/snapshot.h"

#include "base/error.h"
#include "tensorfile/safetensors.h"

namespace posefix::tensorfile {
namespace {

bool is_state(const std::string& name) { return name.starts_with("optimizer/") || name.starts_with("train/"); }

const std::string& required(const Snapshot& snapshot, const char* key, const char* what) {
  const auto found = snapshot.metadata.find(key);
  if (found == snapshot.metadata.end()) {
    throw bad_input(
        "the file carries no {} (metadata '{}'): it is not a posefix snapshot; "
        "'posefix init --config C.yaml --from FILE --out S.safetensors' makes one of it",
        what, key);
  }
  return found->second;
}

}  // namespace

const std::string& Snapshot::config_yaml() const { return required(*this, "posefix.config", "configuration"); }
const std::string& Snapshot::skeleton_yaml() const { return required(*this, "posefix.skeleton", "skeleton"); }

std::string Snapshot::trust() const {
  const auto found = metadata.find("posefix.trust");
  return found == metadata.end() ? "" : found->second;
}

Snapshot read_snapshot(const std::filesystem::path& path) {
  SafeTensors file = read_safetensors(path);
  Snapshot snapshot;
  snapshot.metadata = std::move(file.metadata);
  snapshot.metadata.erase(kChecksumKey);
  for (auto& [name, tensor] : file.tensors) {
    (is_state(name) ? snapshot.state : snapshot.variables).emplace(name, std::move(tensor));
  }
  return snapshot;
}

void write_snapshot(const std::filesystem::path& path, const Snapshot& snapshot) {
  NamedTensors all = snapshot.variables;
  for (const auto& [name, tensor] : snapshot.variables) PFX_CHECK(!is_state(name));
  for (const auto& [name, tensor] : snapshot.state) {
    PFX_CHECK(is_state(name));
    all.emplace(name, tensor);
  }
  std::map<std::string, std::string> metadata = snapshot.metadata;
  metadata[kChecksumKey] = "";
  write_safetensors(path, all, metadata);
}

}  // namespace posefix::tensorfile

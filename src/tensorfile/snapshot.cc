#include "tensorfile/snapshot.h"

#include <cmath>

#include "base/error.h"
#include "tensorfile/checkpoint.h"
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
  if (names_checkpoint_v2(path)) {
    throw bad_input(
        "{}: is a TensorFlow checkpoint, which does not say what network and which joints it is of; "
        "'posefix init --config C.yaml --from {} --out S.safetensors' makes a snapshot of it",
        path.string(), path.string());
  }
  SafeTensors file = read_safetensors(path);
  Snapshot snapshot;
  snapshot.metadata = std::move(file.metadata);
  snapshot.metadata.erase(kChecksumKey);
  for (auto& [name, tensor] : file.tensors) {
    const bool is_half = tensor.dtype() == DType::kF16 || tensor.dtype() == DType::kBF16;
    (is_state(name) ? snapshot.state : snapshot.variables).emplace(name, is_half ? tensor.to_f32() : std::move(tensor));
  }
  return snapshot;
}

Tensor narrowed(const Tensor& tensor, DType dtype) {
  PFX_CHECK(dtype == DType::kF16 || dtype == DType::kBF16);
  Tensor result(dtype, tensor.shape());
  auto* out = reinterpret_cast<uint16_t*>(result.mutable_bytes().data());
  for (const float value : tensor.f32()) *out++ = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
  return result;
}

NamedTensors half_filters(const NamedTensors& variables, DType dtype) {
  constexpr float kLargestF16 = 65519.99F;  // what rounds to 65504; bf16 has f32's range but for its last 0.4%
  constexpr float kLargestBF16 = 3.3961e38F;
  const float largest = dtype == DType::kF16 ? kLargestF16 : kLargestBF16;
  NamedTensors result = variables;
  for (auto& [name, tensor] : result) {
    if (tensor.shape().size() != 4) continue;
    for (const float value : tensor.f32()) {
      if (std::isfinite(value) && std::fabs(value) > largest) {
        throw bad_input("'{}' holds {}, too large for {}; take bf16 or f32", name, value, dtype_name(dtype));
      }
    }
    tensor = narrowed(tensor, dtype);
  }
  return result;
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

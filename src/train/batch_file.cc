#include "train/batch_file.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace posefix::train {
namespace {

constexpr const char* kPrefix = "train/batch/";

template <typename T>
Tensor as_tensor(DType dtype, const std::vector<T>& values, int64_t rows) {
  Tensor tensor(dtype, {rows, static_cast<int64_t>(values.size()) / rows});
  std::memcpy(tensor.mutable_bytes().data(), values.data(), tensor.bytes().size());
  return tensor;
}

template <typename T>
void read(const tensorfile::Snapshot& snapshot, const std::string& source, const std::string& name, DType dtype,
          sample::Batch& batch, std::vector<T>& values) {
  const auto found = snapshot.state.find(kPrefix + name);
  if (found == snapshot.state.end()) throw bad_input("{}: '{}{}' is missing", source, kPrefix, name);
  const Tensor& tensor = found->second;
  const bool fits = tensor.dtype() == dtype && tensor.shape().size() == 2 && tensor.shape()[0] > 0 &&
                    (batch.size == 0 || tensor.shape()[0] == batch.size);
  if (!fits) {
    throw bad_input("{}: '{}{}' is {}{}, expected {}[B, n]", source, kPrefix, name, dtype_name(tensor.dtype()),
                    to_string(tensor.shape()), dtype_name(dtype));
  }
  batch.size = tensor.shape()[0];
  const std::span<const T> stored = tensor.as<T>();
  values.assign(stored.begin(), stored.end());
}

}  // namespace

void store_batch(const sample::Batch& batch, tensorfile::Snapshot& snapshot) {
  const auto put = [&](const char* name, Tensor tensor) {
    snapshot.state.insert_or_assign(std::string(kPrefix) + name, std::move(tensor));
  };
  put("crops", as_tensor(DType::kU8, batch.crops, batch.size));
  put("pose", as_tensor(DType::kF32, batch.pose, batch.size));
  put("valid", as_tensor(DType::kF32, batch.valid, batch.size));
  put("target", as_tensor(DType::kF32, batch.target, batch.size));
  put("target_valid", as_tensor(DType::kF32, batch.target_valid, batch.size));
}

sample::Batch load_batch(const tensorfile::Snapshot& snapshot, const std::string& source) {
  sample::Batch batch;
  read(snapshot, source, "crops", DType::kU8, batch, batch.crops);
  read(snapshot, source, "pose", DType::kF32, batch, batch.pose);
  read(snapshot, source, "valid", DType::kF32, batch, batch.valid);
  read(snapshot, source, "target", DType::kF32, batch, batch.target);
  read(snapshot, source, "target_valid", DType::kF32, batch, batch.target_valid);
  return batch;
}

}  // namespace posefix::train

#include "tensorfile/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "tensorfile/safetensors.h"

namespace posefix::tensorfile {
namespace {

namespace fs = std::filesystem;

fs::path index_path(const fs::path& prefix) { return prefix.string() + ".index"; }

// The prefix that a path means: itself, or what stands before ".index" or ".data-00000-of-00001".
fs::path prefix_of(const fs::path& path) {
  const std::string text = path.string();
  if (text.ends_with(".index")) return text.substr(0, text.size() - 6);
  const size_t data = text.rfind(".data-");
  if (data != std::string::npos && text.find("-of-", data) != std::string::npos) return text.substr(0, data);
  return path;
}

constexpr std::string_view kNewest = "model_checkpoint_path: \"";

// TensorFlow's file `checkpoint` names the newest snapshot: model_checkpoint_path: "snapshot_140.ckpt".
fs::path newest_in(const fs::path& folder) {
  const fs::path state = folder / "checkpoint";
  std::error_code ignored;
  if (!fs::exists(state, ignored)) {
    throw bad_input("{}: is a folder without TensorFlow's file 'checkpoint', expected a checkpoint; it holds: {}",
                    folder.string(), files_like(folder, ".index"));
  }
  const std::string text = read_file(state);
  const size_t begin = text.find(kNewest);
  const size_t end = begin == std::string::npos ? begin : text.find('"', begin + kNewest.size());
  if (end == std::string::npos) {
    throw bad_input("{}: no line 'model_checkpoint_path: \"NAME\"'; name the checkpoint itself", state.string());
  }
  const fs::path named = text.substr(begin + kNewest.size(), end - begin - kNewest.size());
  fs::path newest = folder / (named.is_absolute() ? named.filename() : named);
  if (fs::is_directory(newest, ignored)) {
    throw bad_input("{}: model_checkpoint_path is \"{}\", a folder; name the checkpoint itself", state.string(),
                    named.string());
  }
  return newest;
}

bool is_checkpoint_state(const fs::path& path) {
  std::error_code ignored;
  if (path.filename() != "checkpoint" || !fs::is_regular_file(path, ignored)) return false;
  return MappedFile::open(path)->text().starts_with(kNewest);
}

bool looks_like_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 9) return false;
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  return header_bytes <= bytes.size() - 8 && bytes[8] == std::byte{'{'};
}

Checkpoint open_safetensors(const fs::path& path) {
  SafeTensors file = read_safetensors(path);
  Checkpoint checkpoint;
  checkpoint.format = CheckpointFormat::kSafeTensors;
  checkpoint.source = path.string();
  checkpoint.metadata = std::move(file.metadata);
  for (auto& [name, tensor] : file.tensors) {
    CheckpointTensor entry;
    entry.name = name;
    entry.dtype = tensor.dtype();
    entry.shape = tensor.shape();
    entry.bytes = tensor.bytes().size();
    entry.file = path.string();
    entry.value = std::move(tensor);
    checkpoint.tensors.push_back(std::move(entry));
  }
  return checkpoint;
}

}  // namespace

std::string_view format_name(CheckpointFormat format) {
  switch (format) {
    case CheckpointFormat::kTensorFlowV1:
      return "TensorFlow checkpoint V1";
    case CheckpointFormat::kTensorFlowV2:
      return "TensorFlow checkpoint V2";
    case CheckpointFormat::kSafeTensors:
      break;
  }
  return "safetensors";
}

Checkpoint open_checkpoint(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_checkpoint(newest_in(path));
  if (is_checkpoint_state(path)) return open_checkpoint(newest_in(path.parent_path()));
  const fs::path prefix = prefix_of(path);
  if (fs::exists(index_path(prefix), ignored)) return open_checkpoint_v2(prefix);
  if (prefix != path) return open_checkpoint_v2(prefix);  // refused there, naming the missing index
  if (path.extension() == ".json" || path.extension() == ".safetensors") return open_safetensors(path);
  if (looks_like_safetensors(MappedFile::open(path)->bytes())) return open_safetensors(path);
  return open_checkpoint_v1(path);
}

bool names_checkpoint_v2(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    const auto is_index = [](const fs::directory_entry& entry) { return entry.path().extension() == ".index"; };
    const fs::directory_iterator files(path, ignored);
    return fs::is_regular_file(path / "checkpoint", ignored) || std::any_of(begin(files), end(files), is_index);
  }
  return fs::exists(index_path(prefix_of(path)), ignored) || is_checkpoint_state(path);
}

void check_sound(const Checkpoint& checkpoint) {
  std::vector<const CheckpointTensor*> damaged;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (!tensor.problem.empty()) damaged.push_back(&tensor);
  }
  if (damaged.empty()) return;
  std::stable_sort(damaged.begin(), damaged.end(), [](const CheckpointTensor* a, const CheckpointTensor* b) {
    return std::tie(a->file, a->offset) < std::tie(b->file, b->offset);
  });
  std::string others;
  constexpr size_t kShown = 8;
  for (size_t i = 1; i < damaged.size() && i <= kShown; ++i) {
    others += fmt::format("{}'{}'", i == 1 ? "; damaged too: " : ", ", damaged[i]->name);
  }
  if (damaged.size() > kShown + 1) others += fmt::format(" and {} more", damaged.size() - kShown - 1);
  throw bad_input("{}: tensor '{}': {}{}", checkpoint.source, damaged[0]->name, damaged[0]->problem, others);
}

NamedTensors read_checkpoint(const fs::path& path) {
  Checkpoint checkpoint = open_checkpoint(path);
  check_sound(checkpoint);
  NamedTensors tensors;
  for (CheckpointTensor& tensor : checkpoint.tensors) tensors.emplace(tensor.name, std::move(tensor.value));
  return tensors;
}

}  // namespace posefix::tensorfile

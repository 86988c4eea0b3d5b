#include "exporters/imported_model.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/file.h"

namespace posefix::exporters {

ModelFormat guess_format(const std::filesystem::path& path, std::string_view bytes) {
  if (path.extension() == ".onnx") return ModelFormat::kOnnx;
  if (path.extension() == ".pb") return ModelFormat::kGraphDef;
  // ONNX begins with ir_version (field 1, varint), a GraphDef with a node (field 1, message).
  if (bytes.starts_with('\x08')) return ModelFormat::kOnnx;
  if (bytes.starts_with('\x0a')) return ModelFormat::kGraphDef;
  throw bad_input("{}: neither a TensorFlow graph (.pb) nor an ONNX model (.onnx)", path.string());
}

ImportedModel read_model(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  return parse_model(file->text(), guess_format(path, file->text()), path.string());
}

ImportedModel parse_model(std::string_view bytes, ModelFormat format, const std::string& source) {
  const OpGraph file = format == ModelFormat::kOnnx ? parse_onnx(bytes, source) : parse_graphdef(bytes, source);
  return understand(file);
}

NamedTensors named_constants(const OpGraph& file) {
  NamedTensors tensors;
  for (const auto& [name, tensor] : file.constants) {
    if (tensor.dtype() == DType::kF32) tensors.emplace(name, tensor);
  }
  return tensors;
}

}  // namespace posefix::exporters

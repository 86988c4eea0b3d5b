#include "model_files.h"

#include <cstring>

#include "base/file.h"
#include "base/sha256.h"

namespace ascend_stub {
namespace {

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) {
  std::string out;
  append_varint(out, field << 3);
  append_varint(out, value);
  return out;
}
std::string bytes(uint32_t field, const std::string& value) {
  std::string out;
  append_varint(out, field << 3 | 2);
  append_varint(out, value.size());
  return out + value;
}
std::string attribute(const std::string& name, const std::string& value) {
  return bytes(5, bytes(1, name) + bytes(2, value));
}
std::string node(const std::string& name, const std::string& op, const std::vector<std::string>& inputs,
                 const std::string& attributes = {}) {
  std::string text = bytes(1, name) + bytes(2, op);
  for (const std::string& input : inputs) text += bytes(3, input);
  return bytes(1, text + attributes);
}
std::string placeholder(const std::string& name) {
  return node(name, "Placeholder", {}, attribute("dtype", number(6, 1)));
}

template <typename T>
std::string constant(const std::string& name, uint64_t dtype, const std::vector<T>& values, bool is_scalar) {
  std::string content(values.size() * sizeof(T), '\0');
  std::memcpy(content.data(), values.data(), content.size());
  const std::string shape = is_scalar ? "" : bytes(2, number(1, values.size()));
  const std::string tensor = number(1, dtype) + bytes(2, shape) + bytes(4, content);
  return node(name, "Const", {}, attribute("dtype", number(6, dtype)) + attribute("value", bytes(8, tensor)));
}
std::string ints(const std::string& name, const std::vector<int32_t>& values) {
  return constant(name, 3, values, false);
}
std::string scalar(const std::string& name, float value) { return constant<float>(name, 1, {value}, true); }

std::filesystem::path write(const std::filesystem::path& folder, const OmFile& om,
                            posefix::runtime::ascend::OmSidecar sidecar) {
  const std::filesystem::path path = folder / "M.om";
  const std::string text = encode_om(om);
  posefix::write_file_atomically(path, text);
  sidecar.om_bytes = text.size();
  sidecar.om_sha256 = posefix::sha256_hex(std::as_bytes(std::span(text)));
  posefix::runtime::ascend::write_om_sidecar(posefix::runtime::ascend::sidecar_path(path), sidecar);
  return path;
}

posefix::DType dtype(const std::string& name) { return *posefix::dtype_from_name(name); }

}  // namespace

std::string tiny_graph(int64_t joints) {
  return placeholder("Placeholder") + placeholder("Placeholder_2") + placeholder("Placeholder_4") +
         ints("pixels", {1, 2, 3}) + node("image_sum", "Sum", {"Placeholder", "pixels"}) +
         ints("image_shape", {-1, 1, 1}) + node("image_term", "Reshape", {"image_sum", "image_shape"}) +
         ints("valid_shape", {-1, static_cast<int32_t>(joints), 1}) +
         node("valid_term", "Reshape", {"Placeholder_4", "valid_shape"}) +
         node("product", "Mul", {"image_term", "valid_term"}) + scalar("weight", kImageWeight) +
         node("weighted", "Mul", {"product", "weight"}) + scalar("quarter", 0.25F) +
         node("pose_term", "Mul", {"Placeholder_2", "quarter"}) + node("mul_15", "Add", {"pose_term", "weighted"});
}

std::string extra_node(const std::string& op, const std::string& padding, bool has_explicit_paddings) {
  std::string attributes;
  if (!padding.empty()) attributes += attribute("padding", bytes(2, padding));
  if (has_explicit_paddings)
    attributes += attribute("explicit_paddings", bytes(1, bytes(3, std::string("\0\1\1\0", 4))));
  return node("extra", op, {"mul_15"}, attributes);
}

OmFile tiny_om(const TinyModel& model) {
  OmFile om;
  const bool has_gears = model.batches.size() > 1;
  const int64_t first = has_gears ? -1 : model.batches.front();
  om.soc = model.soc;
  om.command = "atc (written by a test)";
  if (has_gears) om.gears = model.batches;
  om.batch = model.batches.back();
  om.inputs = {{"Placeholder", model.image_dtype, {first, model.height, model.width, 3}},
               {"Placeholder_2", "f32", {first, model.joints, 2}},
               {"Placeholder_4", "f32", {first, model.joints}}};
  om.outputs = {{"mul_15:0", model.output_dtype, {first, model.joints, 2}}};
  if (model.image_dtype == "u8") om.aipp_mean = {kMeanBgr[0], kMeanBgr[1], kMeanBgr[2]};
  om.graph = tiny_graph(model.joints);
  return om;
}

posefix::runtime::ascend::OmSidecar tiny_sidecar(const TinyModel& model) {
  posefix::runtime::ascend::OmSidecar sidecar;
  sidecar.is_dynamic = model.batches.size() > 1;
  sidecar.batches = model.batches;
  const int64_t first = sidecar.is_dynamic ? -1 : model.batches.front();
  sidecar.soc = model.soc;
  sidecar.precision = "f32";
  sidecar.inputs = {
      {"image", "Placeholder", dtype(model.image_dtype), "NHWC", "", {first, model.height, model.width, 3}},
      {"pose", "Placeholder_2", posefix::DType::kF32, "BKC", "", {first, model.joints, 2}},
      {"valid", "Placeholder_4", posefix::DType::kF32, "BK", "", {first, model.joints}}};
  sidecar.outputs = {{"coords", "mul_15", dtype(model.output_dtype), "", "heatmap_px", {first, model.joints, 2}}};
  sidecar.mean_bgr = {kMeanBgr[0], kMeanBgr[1], kMeanBgr[2]};
  sidecar.mean_in_model = model.image_dtype == "u8";
  return sidecar;
}

std::filesystem::path write_tiny(const std::filesystem::path& folder, const TinyModel& model) {
  return write(folder, tiny_om(model), tiny_sidecar(model));
}

std::filesystem::path write_around(const std::filesystem::path& folder, const std::string& graph, int64_t batch,
                                   int64_t height, int64_t width, int64_t joints) {
  const TinyModel model{.height = height, .width = width, .joints = joints, .batches = {batch}};
  OmFile om = tiny_om(model);
  om.graph = graph;
  return write(folder, om, tiny_sidecar(model));
}

}  // namespace ascend_stub

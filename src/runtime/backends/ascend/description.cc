#include "runtime/backends/ascend/description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/backends/ascend/errors.h"

namespace posefix::runtime::ascend {
namespace {

std::string text(const char* name) { return name != nullptr ? name : ""; }

Shape shape_of(const aclmdlIODims& dims) {
  const size_t rank = std::min<size_t>(dims.dimCount, std::size(dims.dims));
  return {dims.dims, dims.dims + rank};
}

std::string type_name(aclDataType type) {
  switch (type) {
    case ACL_FLOAT:
      return "f32";
    case ACL_FLOAT16:
      return "f16";
    case ACL_UINT8:
      return "u8";
    default:
      return fmt::format("type {}", static_cast<int>(type));
  }
}

DType dtype_of(aclDataType type, const std::string& om, const std::string& name) {
  if (type == ACL_FLOAT) return DType::kF32;
  if (type == ACL_FLOAT16) return DType::kF16;
  if (type == ACL_UINT8) return DType::kU8;
  throw bad_input("{}: '{}' is of {}; only f32, f16 and u8 models can be run", om, name, type_name(type));
}

// Bytes of the largest batch.
size_t bytes_of(const OmTensor& tensor, int64_t largest_batch) {
  Shape shape = tensor.shape;
  shape[0] = largest_batch;
  return static_cast<size_t>(element_count(shape)) * dtype_size(tensor.dtype);
}

// Rows "what: sidecar | model" of what differs.
class Table {
 public:
  void compare(const std::string& what, const std::string& expected, const std::string& found) {
    if (expected != found) rows_ += fmt::format("\n  {:<28} {:<28} {}", what, expected, found);
  }
  void compare_tensor(const std::string& side, const OmTensor& expected, const ModelTensor& found,
                      int64_t largest_batch) {
    const std::string what = fmt::format("{} {}", side, expected.role);
    const bool is_output = side == "output";
    // The name of an output is the node's after the compiler's fusions: "mul_15:0", "..._mul_15_Mul_3:0:mul_15".
    if (!is_output || found.name.find(expected.name) == std::string::npos) {
      compare(what + " name", expected.name, found.name);
    }
    compare(what + " type", std::string(dtype_name(expected.dtype)), type_name(found.type));
    // A picture that AIPP converts may be described before or after the conversion; its size is compared instead.
    if (expected.dtype != DType::kU8) compare(what + " shape", to_string(expected.shape), to_string(found.shape));
    compare(what + " bytes", std::to_string(bytes_of(expected, largest_batch)), std::to_string(found.bytes));
  }
  const std::string& rows() const { return rows_; }

 private:
  std::string rows_;
};

}  // namespace

ModelDescription describe(const Device& device, const Model& model) {
  const Acl& acl = device.acl();
  const Description handle(device, acl.aclmdlCreateDesc());
  aclmdlDesc* description = handle.get();
  if (description == nullptr) throw acl_error(acl, "aclmdlCreateDesc", kAclMemoryAllocation);
  check(acl, "aclmdlGetDesc", acl.aclmdlGetDesc(description, model.id()));
  ModelDescription result;
  for (size_t i = 0; i < acl.aclmdlGetNumInputs(description); ++i) {
    const std::string name = text(acl.aclmdlGetInputNameByIndex(description, i));
    const size_t bytes = acl.aclmdlGetInputSizeByIndex(description, i);
    if (name == kDynamicBatchInput) {
      size_t index = 0;
      check(acl, "aclmdlGetInputIndexByName", acl.aclmdlGetInputIndexByName(description, kDynamicBatchInput, &index));
      result.gear_input = static_cast<int64_t>(index);
      result.gear_input_bytes = bytes;
      continue;
    }
    aclmdlIODims dims{};
    check(acl, "aclmdlGetInputDims", acl.aclmdlGetInputDims(description, i, &dims));
    result.inputs.push_back({name, acl.aclmdlGetInputDataType(description, i), shape_of(dims), bytes});
  }
  for (size_t i = 0; i < acl.aclmdlGetNumOutputs(description); ++i) {
    aclmdlIODims dims{};
    check(acl, "aclmdlGetOutputDims", acl.aclmdlGetOutputDims(description, i, &dims));
    result.outputs.push_back({text(acl.aclmdlGetOutputNameByIndex(description, i)),
                              acl.aclmdlGetOutputDataType(description, i), shape_of(dims),
                              acl.aclmdlGetOutputSizeByIndex(description, i)});
  }
  if (result.gear_input >= 0) {
    aclmdlBatch batch{};
    check(acl, "aclmdlGetDynamicBatch", acl.aclmdlGetDynamicBatch(description, &batch));
    const size_t count = std::min<size_t>(batch.batchCount, std::size(batch.batch));
    for (size_t i = 0; i < count; ++i) result.gears.push_back(static_cast<int64_t>(batch.batch[i]));
    std::sort(result.gears.begin(), result.gears.end());
  }
  return result;
}

void check_description(const ModelDescription& found, const OmSidecar& expected, const std::string& om) {
  Table table;
  const int64_t largest = expected.batches.back();
  table.compare("inputs", std::to_string(expected.inputs.size()), std::to_string(found.inputs.size()));
  table.compare("outputs", std::to_string(expected.outputs.size()), std::to_string(found.outputs.size()));
  for (size_t i = 0; i < std::min(expected.inputs.size(), found.inputs.size()); ++i) {
    table.compare_tensor("input", expected.inputs[i], found.inputs[i], largest);
  }
  for (size_t i = 0; i < std::min(expected.outputs.size(), found.outputs.size()); ++i) {
    ModelTensor output = found.outputs[i];
    // The description gives an output's largest shape where the sidecar has -1.
    if (expected.is_dynamic && !output.shape.empty() && output.shape[0] == largest) output.shape[0] = -1;
    table.compare_tensor("output", expected.outputs[i], output, largest);
  }
  const std::string fixed = "fixed";
  table.compare("gears", expected.is_dynamic ? fmt::format("{}", fmt::join(expected.batches, ",")) : fixed,
                found.gear_input >= 0 ? fmt::format("{}", fmt::join(found.gears, ",")) : fixed);
  if (table.rows().empty()) return;
  throw bad_input(
      "{0}: the model and its sidecar {1} do not agree:\n"
      "  {2:<28} {3:<28} {4}{5}\nCompile it again (posefix compile ... --target ascend:{6}), or write a sidecar for it "
      "with: posefix inspect {0} --write-sidecar",
      om, sidecar_path(om).string(), "", "sidecar", "found", table.rows(), expected.soc);
}

OmSidecar sidecar_of(const ModelDescription& found, const std::string& om) {
  OmSidecar sidecar;
  sidecar.is_dynamic = found.gear_input >= 0;
  sidecar.batches = found.gears;
  for (const ModelTensor& tensor : found.inputs) {
    OmTensor input{"", tensor.name, dtype_of(tensor.type, om, tensor.name), "", "", tensor.shape};
    const size_t rank = tensor.shape.size();
    input.role = rank == 4 ? "image" : rank == 3 ? "pose" : "valid";
    input.layout = rank == 4 ? (tensor.shape.back() == 3 ? "NHWC" : "NCHW") : rank == 3 ? "BKC" : "BK";
    sidecar.mean_in_model = sidecar.mean_in_model || (rank == 4 && input.dtype == DType::kU8);
    if (!sidecar.is_dynamic && !tensor.shape.empty()) sidecar.batches = {tensor.shape[0]};
    sidecar.inputs.push_back(input);
  }
  for (const ModelTensor& tensor : found.outputs) {
    OmTensor output{"coords", tensor.name, dtype_of(tensor.type, om, tensor.name), "", "heatmap_px", tensor.shape};
    if (sidecar.is_dynamic && !output.shape.empty()) output.shape[0] = -1;
    sidecar.outputs.push_back(output);
  }
  if (sidecar.inputs.size() != 3 || sidecar.outputs.size() != 1) {
    throw bad_input("{}: a PoseFix model has three inputs (picture, pose, validity) and one output, found {} and {}",
                    om, sidecar.inputs.size(), sidecar.outputs.size());
  }
  return sidecar;
}

}  // namespace posefix::runtime::ascend

// An offline model: a list of steps over one arena, with its weights and what it was made from.
//
// Invariants (validate() checks them; write_plan and read_plan call it): steps stand in execution order and read only
// tensors that earlier steps wrote; every tensor lies within the arena; weights lie one after the other in the data
// section; shapes fit their op. Sizes are per person: with B persons a tensor lies at B * offset and takes B * bytes.
// Non-goals: control flow, training, anything that graph/ knows (names are for messages only).
//
// Precision int8: a convolution whose weights are i8 reads i8 or u8 and sums whole numbers; value = scale * stored on
// both sides, one scale per output channel in the weights and one per tensor. Every other step works in f32, and
// kConvert stands between the two.
//
// Dimension letters: B persons, H W crop height and width, h w = H/4 W/4 heat map, C channels, K joints.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"
#include "plan/choice.h"
#include "plan/weight.h"

namespace posefix::plan {

// Values are part of the file format: append, never renumber.
enum class Op : uint32_t {
  kAssembleInput = 1,    // crops u8 [B,H,W,3], pose, valid -> [B,H,W,3+K]: minus mean; 255*exp(-d^2/(2 sigma^2))*valid
  kNormaliseImage = 2,   // crops u8 -> [B,H,W,3]: minus mean
  kPoseStem = 3,         // pose, valid; weights [kh,kw,K,out] -> what kConv2d would give for the rendered pose alone
  kConv2d = 4,           // x (, residual); weights [kh,kw,in,out] (, bias [out]) (, scales [out])
  kConvTranspose2d = 5,  // x; weights [kh,kw,out,in] (, bias [out]) (, scales [out]); TensorFlow's SAME
  kMaxPool = 6,          // x; padding never wins
  kPad = 7,              // x; zeros
  kChannelAffine = 8,    // x; scale [C], shift [C]
  kRelu = 9,             // x
  kAdd = 10,             // x, y
  kConcat = 11,          // x, y, ... along C
  kDecode = 12,          // logits [B,h,w,K] -> the session's coords and spread, crop_px
  kConvert = 13,         // x -> the same values in another element type: rounded to nearest even, saturated
};
std::string_view op_name(Op op);

struct TensorInfo {
  std::string name;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  DType dtype = DType::kF32;
  float scale = 1;      // i8, u8: value = scale * stored
  uint64_t offset = 0;  // bytes per person, a multiple of 64
  uint64_t bytes = 0;   // per person; room for channels padded to a multiple of 16
};

struct WeightInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset = 0;  // in the data section, a multiple of 64
  uint64_t bytes = 0;
};

struct Step {
  Op op = Op::kConv2d;
  std::string name;
  std::vector<int32_t> inputs;   // tensor ids
  std::vector<int32_t> weights;  // weight ids
  int32_t output = -1;           // tensor id; -1: kDecode
  int32_t stride = 1;
  int32_t kernel = 0;                       // kMaxPool
  std::array<int32_t, 4> pads{0, 0, 0, 0};  // top, bottom, left, right
  bool relu = false;                        // after bias and residual
  bool has_bias = false;
  bool has_residual = false;  // kConv2d: the last input
  double sigma_px = 0;        // kAssembleInput, kPoseStem
  double factor = 1;          // kDecode: crop px per heat-map px
};

// Scales [out] of a convolution's i8 weights, its last weight; -1 for weights of another type.
int32_t weight_scales(const class Plan& plan, const Step& step);

// The choices for a session of so many persons at most: those of the least batch that is no smaller, else of the
// largest. Null: none.
const Tuning* tuning_for(const class Plan& plan, int64_t max_batch);

// A tensor that keeps its value until the next run, for tests and measurement.
struct KeptTensor {
  std::string name;
  int32_t tensor = 0;
};

struct Metadata {
  std::string target;        // backend it was compiled for: "cpu", "reference", ...
  std::string precision;     // "f32", "bf16", "int8"
  std::string cpu_features;  // of the CPU that it was tuned on (runtime::cpu_features()), "" when it was not tuned
  std::string config_yaml;   // resolved configuration
  std::string skeleton_yaml;
  std::string trust;   // calibration as text (trust/trust.h), "" when the model carries none
  int64_t height = 0;  // H
  int64_t width = 0;   // W
  int64_t joints = 0;  // K
  int64_t heatmap_stride = 4;
  std::array<double, 3> mean_bgr{};  // subtracted from the crop
};

class Plan {
 public:
  Metadata metadata;
  std::vector<TensorInfo> tensors;
  std::vector<WeightInfo> weight_infos;
  std::vector<Weight> weights;  // of weight_infos, one to one
  std::vector<Step> steps;
  std::vector<KeptTensor> kept;
  std::vector<Tuning> tunings;  // by rising batch; they hold on the CPU of metadata.cpu_features alone
  uint64_t arena_bytes = 0;     // per person

  uint64_t data_bytes() const;  // of the data section
  Tensor values(int32_t weight) const { return weights.at(static_cast<size_t>(weight)).values(); }
  // Lets the operating system take back the memory behind weights of a mapped file.
  void release_pages() const;
};

// Where validate() stands, so that a reader can add the byte offset of the record. A tuning is a record and so is each
// of its choices, in the file's order.
enum class RecordKind { kMetadata, kTensor, kWeight, kStep, kKept, kTuning };
struct Violation {
  RecordKind kind = RecordKind::kMetadata;
  size_t index = 0;
  std::string message;  // "" : none
};
// The first broken invariant.
Violation validate(const Plan& plan);

}  // namespace posefix::plan

// The first convolution is linear: picture and rendered pose may be convolved apart.
//
//   AssembleInput [B,H,W,3+K] ── Conv2d(W)     =>   PoseStem(W[:,:,3:,:]) ───────────┐
//                                                   NormaliseImage ── Conv2d(W[:,:,:3,:], residual)
//
// The pose's part is cheap: a Gaussian is separable and negligible but for a window about its joint
// (runtime/backends/cpu/pose_stem.h), where the plain form convolves K mostly empty maps.
#include <algorithm>

#include "compiler/program.h"

namespace posefix::compiler {
namespace {

// Channels [begin, end) of the input side of [kh,kw,in,out].
Tensor slice_input_channels(const Tensor& weights, int64_t begin, int64_t end) {
  const Shape& shape = weights.shape();
  Tensor result(DType::kF32, {shape[0], shape[1], end - begin, shape[3]});
  const auto in = weights.f32();
  auto out = result.mutable_f32().begin();
  for (int64_t tap = 0; tap < shape[0] * shape[1]; ++tap) {
    const auto from = in.begin() + (tap * shape[2] + begin) * shape[3];
    out = std::copy(from, from + (end - begin) * shape[3], out);
  }
  return result;
}

// The one step that reads `tensor`, or -1 if there are several or it is kept.
int64_t only_reader(const plan::Plan& plan, int32_t tensor) {
  int64_t reader = -1;
  for (size_t s = 0; s < plan.steps.size(); ++s) {
    for (const int32_t id : plan.steps[s].inputs) {
      if (id != tensor) continue;
      if (reader >= 0) return -1;
      reader = static_cast<int64_t>(s);
    }
  }
  const auto is_kept = [&](const plan::KeptTensor& kept) { return kept.tensor == tensor; };
  return std::any_of(plan.kept.begin(), plan.kept.end(), is_kept) ? -1 : reader;
}

}  // namespace

void fuse_pose_stem(Program& program) {
  plan::Plan& plan = program.plan;
  const auto assemble = std::find_if(plan.steps.begin(), plan.steps.end(),
                                     [](const plan::Step& s) { return s.op == plan::Op::kAssembleInput; });
  if (assemble == plan.steps.end()) return;
  const int64_t reader = only_reader(plan, assemble->output);
  if (reader < 0) return;
  plan::Step& conv = plan.steps[static_cast<size_t>(reader)];
  if (conv.op != plan::Op::kConv2d || conv.has_residual) return;

  constexpr int64_t kImageChannels = 3;
  constexpr int64_t kLargestFilter = 16;  // of the kernel
  const Shape& filter = plan.weight_infos[static_cast<size_t>(conv.weights[0])].shape;
  if (filter[0] > kLargestFilter || filter[1] > kLargestFilter) return;
  const auto weight_id = static_cast<size_t>(conv.weights[0]);
  const Tensor whole = plan.weights[weight_id].values();
  const plan::TensorInfo out = plan.tensors[static_cast<size_t>(conv.output)];
  const double sigma_px = assemble->sigma_px;

  // The tensor of the assembled input becomes the normalised image.
  plan::TensorInfo& image = plan.tensors[static_cast<size_t>(assemble->output)];
  image.name = "image";
  image.channels = kImageChannels;
  image.bytes = (static_cast<uint64_t>(image.height * image.width * kImageChannels) * sizeof(float) + 63) / 64 * 64;
  assemble->op = plan::Op::kNormaliseImage;
  assemble->name = "image";
  assemble->sigma_px = 0;

  const std::string name = plan.weight_infos[weight_id].name;
  conv.weights[0] = program.add_weight(name + "/image", slice_input_channels(whole, 0, kImageChannels));
  plan::Step stem;
  stem.op = plan::Op::kPoseStem;
  stem.name = conv.name + "/pose";
  stem.stride = conv.stride;
  stem.pads = conv.pads;
  stem.sigma_px = sigma_px;
  stem.weights.push_back(
      program.add_weight(name + "/pose", slice_input_channels(whole, kImageChannels, whole.shape()[2])));
  stem.output = program.add_tensor(stem.name, out.height, out.width, out.channels);
  conv.inputs.push_back(stem.output);
  conv.has_residual = true;
  plan.steps.insert(plan.steps.begin() + reader, std::move(stem));
}

}  // namespace posefix::compiler

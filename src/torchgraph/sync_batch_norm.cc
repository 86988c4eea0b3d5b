#include "torchgraph/sync_batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>

namespace posefix::torchgraph {
namespace {

namespace autograd = torch::autograd;

struct Statistics {
  at::Tensor mean;      // [C]
  at::Tensor variance;  // [C] biased
  double count = 0;     // values a channel
};

// Sums over positions and processes are made in double and rounded once, so that f32 gets the same bits however the
// batch is divided; in f32 the last bits would differ, and a deep network makes percents of them. Ascend's chips have
// no double.
at::ScalarType sum_type(const at::Tensor& x) {
  return x.device().type() == at::DeviceType::PrivateUse1 ? at::kFloat : at::kDouble;
}

// Of equally large parts: the mean of means, the mean of variances and the variance of means. No difference of large
// squares, so that the sum's type keeps its digits.
Statistics statistics_of_all(const at::Tensor& x, at::ScalarType type, const GatherFromProcesses& gather) {
  const int64_t channels = x.size(1);
  const auto [variance, mean] = at::var_mean(x.to(sum_type(x)), {0, 2, 3}, /*unbiased=*/false);
  const at::Tensor rows = gather(at::cat({mean, variance}));
  const at::Tensor means = rows.narrow(1, 0, channels);
  const at::Tensor all_mean = means.mean(0);
  const at::Tensor all_variance = rows.narrow(1, channels, channels).mean(0) + (means - all_mean).square().mean(0);
  return {all_mean.to(type), all_variance.to(type), static_cast<double>(x.numel() / channels * rows.size(0))};
}

at::Tensor by_channel(const at::Tensor& values) { return values.view({1, -1, 1, 1}); }

class SyncBatchNorm : public autograd::Function<SyncBatchNorm> {
 public:
  // `gather` by pointer: a context keeps tensors and numbers.
  static at::Tensor forward(autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            const at::Tensor& offset, BatchNormState* state, const GatherFromProcesses* gather) {
    const Statistics all = statistics_of_all(x, scale.scalar_type(), *gather);
    state->moving_mean.add_((all.mean - state->moving_mean).mul_(state->momentum));
    const at::Tensor unbiased = all.variance * (all.count / (all.count - 1));
    state->moving_variance.add_((unbiased - state->moving_variance).mul_(state->momentum));
    context->save_for_backward({x, scale, all.mean, all.variance});
    context->saved_data["epsilon"] = state->epsilon;
    context->saved_data["count"] = all.count;
    context->saved_data["gather"] = static_cast<int64_t>(reinterpret_cast<intptr_t>(gather));
    return std::get<0>(
        at::native_batch_norm(x, scale, offset, all.mean, all.variance, /*training=*/false, 0, state->epsilon));
  }

  static autograd::variable_list backward(autograd::AutogradContext* context, autograd::variable_list gradients) {
    const autograd::variable_list saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& scale = saved[1];
    const at::Tensor& mean = saved[2];
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const double count = context->saved_data["count"].toDouble();
    const auto* gather =
        reinterpret_cast<const GatherFromProcesses*>(static_cast<intptr_t>(context->saved_data["gather"].toInt()));
    const at::ScalarType type = scale.scalar_type();
    const at::Tensor dy = gradients[0].contiguous(x.suggest_memory_format());
    const at::Tensor inverse = (saved[3] + epsilon).rsqrt();
    const at::Tensor centred = x - by_channel(mean);
    // dscale = sum dy xhat, doffset = sum dy; of this process, and for dx of all.
    const at::Tensor dscale = (dy * centred).sum({0, 2, 3}, false, sum_type(x)) * inverse;
    const at::Tensor doffset = dy.sum({0, 2, 3}, false, sum_type(x));
    const at::Tensor sums = ((*gather)(at::cat({dscale, doffset})).sum(0) / count).to(type);
    // dx = scale/sd * (dy - mean(dy) - xhat * mean(dy xhat)). The mean goes first, since a channel that hardly varies
    // has a huge factor.
    const int64_t channels = scale.numel();
    const at::Tensor across = scale * inverse;
    const at::Tensor factor = across * inverse * sums.narrow(0, 0, channels);
    const at::Tensor shift = across * sums.narrow(0, channels, channels);
    at::Tensor dx = dy * by_channel(across);
    dx.sub_((centred * by_channel(factor)).add_(by_channel(shift)));
    return {dx.to(x.scalar_type()), dscale.to(type), doffset.to(type), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                           BatchNormState& state, const GatherFromProcesses& gather) {
  return SyncBatchNorm::apply(x, scale, offset, &state, &gather);
}

}  // namespace posefix::torchgraph

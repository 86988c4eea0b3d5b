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

// [B,n] of this process's samples -> those of all processes, a row a sample. All sums over samples are made from these
// rows: the same rows in the same order however the batch is divided, on every process and device, hence the same bits.
// Sums a process would differ in their last digits, and a deep network makes percents of them.
at::Tensor of_all_samples(const at::Tensor& rows, const GatherFromProcesses& gather) {
  return gather(rows.flatten()).view({-1, rows.size(1)});
}

// Of equally large samples: the mean of means, the mean of variances and the variance of means. No difference of large
// squares, so that f32 keeps its digits.
Statistics statistics_of_all(const at::Tensor& x, at::ScalarType type, const GatherFromProcesses& gather) {
  const int64_t channels = x.size(1);
  const auto [variance, mean] = at::var_mean(x.to(type), {2, 3}, /*unbiased=*/false);
  const at::Tensor rows = of_all_samples(at::cat({mean, variance}, 1), gather);
  const at::Tensor means = rows.narrow(1, 0, channels);
  const at::Tensor all_mean = means.mean(0);
  const at::Tensor all_variance = rows.narrow(1, channels, channels).mean(0) + (means - all_mean).square().mean(0);
  return {all_mean, all_variance, static_cast<double>(x.size(2) * x.size(3) * rows.size(0))};
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
    const int64_t channels = scale.numel();
    const at::Tensor rows = at::cat({(dy * centred).sum({2, 3}, false, type), dy.sum({2, 3}, false, type)}, 1);
    const at::Tensor own = rows.sum(0);
    const at::Tensor dscale = own.narrow(0, 0, channels) * inverse;
    const at::Tensor doffset = own.narrow(0, channels, channels);
    const at::Tensor means = of_all_samples(rows, *gather).sum(0) / count;
    // dx = scale/sd * (dy - mean(dy) - xhat * mean(dy xhat)). The mean goes first, since a channel that hardly varies
    // has a huge factor.
    const at::Tensor across = scale * inverse;
    const at::Tensor factor = across * inverse * inverse * means.narrow(0, 0, channels);
    const at::Tensor shift = across * means.narrow(0, channels, channels);
    at::Tensor dx = dy * by_channel(across);
    dx.sub_((centred * by_channel(factor)).add_(by_channel(shift)));
    return {dx.to(x.scalar_type()), dscale, doffset, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                           BatchNormState& state, const GatherFromProcesses& gather) {
  return SyncBatchNorm::apply(x, scale, offset, &state, &gather);
}

}  // namespace posefix::torchgraph

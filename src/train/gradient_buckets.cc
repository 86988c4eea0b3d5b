#include "train/gradient_buckets.h"

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <functional>
#include <limits>

namespace posefix::train {
namespace {

namespace autograd = torch::autograd;

class Hook : public autograd::FunctionPostHook {
 public:
  explicit Hook(std::function<void()> action) : action_(std::move(action)) {}
  autograd::variable_list operator()(const autograd::variable_list& outputs,
                                     const autograd::variable_list& /*inputs*/) override {
    action_();
    return outputs;
  }

 private:
  std::function<void()> action_;
};

}  // namespace

// Keeps a variable's accumulation, and with it the hook, alive.
struct GradientBuckets::Accumulator {
  // A shared_ptr in older LibTorch, an intrusive_ptr in newer.
  decltype(autograd::impl::grad_accumulator(at::Tensor())) node;
};

GradientBuckets::GradientBuckets(torchgraph::Network& network, Collective& collective, int64_t bucket_bytes)
    : network_(network), collective_(collective) {
  lay_out(bucket_bytes);
  for (const torchgraph::Variable& variable : network.variables()) {
    if (!variable.trainable) continue;
    const auto found = std::find_if(buckets_.begin(), buckets_.end(), [&](const Bucket& bucket) {
      return variable.flat_offset >= bucket.begin && variable.flat_offset < bucket.end;
    });
    const auto index = static_cast<size_t>(found - buckets_.begin());
    auto node = autograd::impl::grad_accumulator(variable.value);
    node->add_post_hook(std::make_unique<Hook>([this, index] { on_accumulated(index); }));
    accumulators_.push_back({std::move(node)});
  }
}

GradientBuckets::~GradientBuckets() = default;

void GradientBuckets::lay_out(int64_t bucket_bytes) {
  const int64_t element_bytes = static_cast<int64_t>(network_.flat_gradients().element_size());
  bucket_bytes = std::min(bucket_bytes, network_.trainable_count() * element_bytes / kLeastBuckets);
  for (const torchgraph::Variable& variable : network_.variables()) {
    if (!variable.trainable) continue;
    const bool full =
        buckets_.empty() || (variable.flat_offset - buckets_.back().begin) * element_bytes >= bucket_bytes;
    if (full) {
      if (!buckets_.empty()) buckets_.back().end = variable.flat_offset;
      buckets_.push_back({variable.flat_offset, network_.trainable_count(), std::numeric_limits<int64_t>::max()});
    }
    Bucket& bucket = buckets_.back();
    ++bucket.variables;
    bucket.first_node = std::min(bucket.first_node, static_cast<int64_t>(network_.graph().find(variable.name)));
  }
  std::stable_sort(buckets_.begin(), buckets_.end(),
                   [](const Bucket& a, const Bucket& b) { return a.first_node > b.first_node; });
}

void GradientBuckets::arm() {
  armed_ = true;
  next_ = 0;
  for (Bucket& bucket : buckets_) bucket.left = bucket.variables;
}

void GradientBuckets::on_accumulated(size_t bucket) {
  if (!armed_) return;
  --buckets_[bucket].left;
  send_full();
}

void GradientBuckets::send_full() {
  for (; next_ < buckets_.size() && buckets_[next_].left <= 0; ++next_) {
    const Bucket& bucket = buckets_[next_];
    collective_.start_all_reduce(network_.flat_gradients().narrow(0, bucket.begin, bucket.end - bucket.begin));
  }
}

void GradientBuckets::finish() {
  for (Bucket& bucket : buckets_) bucket.left = 0;
  send_full();
  armed_ = false;
  collective_.finish();
}

}  // namespace posefix::train

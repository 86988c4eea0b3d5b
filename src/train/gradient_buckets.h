// The flat gradient, summed over all processes in buckets, each as soon as the backward pass is done with it.
//
// A hook behind each variable's accumulation counts its bucket down; full buckets are sent in one fixed order, the
// same on every rank: that in which a backward pass fills them. Sums are those of the whole tensor, element by
// element, so that the overlap changes no bit. Nor do the buckets with two ranks; with more they say in which order the
// ranks' values are added, and depend on the network alone.
// Non-goals: what the gradients are of, the mean (the loss is divided by the number of processes beforehand).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "torchgraph/network.h"
#include "train/collective.h"

namespace posefix::train {

class GradientBuckets {
 public:
  static constexpr int64_t kBucketBytes = int64_t{25} << 20;
  static constexpr int64_t kLeastBuckets = 4;  // a single one would be full, and sent, after the whole backward pass

  // Both outlive this object and stay where they are. Buckets hold `bucket_bytes`, less where the network is so small
  // that there would be fewer than kLeastBuckets.
  GradientBuckets(torchgraph::Network& network, Collective& collective, int64_t bucket_bytes = kBucketBytes);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The backward pass that comes now is the step's last: its buckets are sent as they fill.
  void arm();
  // Sends what the pass did not touch and waits for all.
  void finish();

  size_t size() const { return buckets_.size(); }

 private:
  struct Bucket {
    int64_t begin = 0;  // in the flat gradient
    int64_t end = 0;
    int64_t first_node = 0;  // of the graph: the one that a backward pass reaches last
    int64_t variables = 0;
    int64_t left = 0;
  };
  struct Accumulator;
  void lay_out(int64_t bucket_bytes);
  void on_accumulated(size_t bucket);
  void send_full();

  torchgraph::Network& network_;
  Collective& collective_;
  std::vector<Bucket> buckets_;  // in the order of sending
  std::vector<Accumulator> accumulators_;
  bool armed_ = false;
  size_t next_ = 0;  // bucket to send
};

}  // namespace posefix::train

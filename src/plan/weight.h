// A weight of a plan: a tensor, or a tensor with a factor per output channel that is applied whenever the values are
// asked for. A network compiled in memory so needs no second copy of a snapshot's filters: they stay in the mapped
// file, and what batch norm makes of one exists only while it is packed.
#pragma once

#include <vector>

#include "base/tensor.h"

namespace posefix::plan {

class Weight {
 public:
  Weight() = default;
  Weight(Tensor stored) : stored_(std::move(stored)) {}  // NOLINT(google-explicit-constructor): a weight is a tensor
  // Value i is stored f32 value i times factors[i / run % factors.size()]: run is 1 where output channels come last
  // ([kh,kw,in,out]), in where they come last but one ([kh,kw,out,in]). In double, rounded once.
  Weight(Tensor stored, std::vector<double> factors, size_t run);

  DType dtype() const { return stored_.dtype(); }
  const Shape& shape() const { return stored_.shape(); }
  size_t byte_count() const { return stored_.bytes().size(); }
  // The tensor itself without factors, else a new one.
  Tensor values() const;
  // Lets the operating system take back the memory behind a weight that lies in a mapped file.
  void release_pages() const;

 private:
  Tensor stored_;
  std::vector<double> factors_;
  size_t run_ = 1;
};

}  // namespace posefix::plan

// Batch norm over the batches of all processes of a job, as if one process had them all.
//
// The processes are an injected function, so that this folder knows of none. Every process brings as many samples.
// Source: the derivative in Ioffe and Szegedy 2015, with the sums taken over all processes.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "torchgraph/batch_norm.h"

namespace posefix::torchgraph {

// values [n] of this process -> [processes, n], a row each, the same on all of them.
using GatherFromProcesses = std::function<at::Tensor(const at::Tensor& values)>;

// x [B,C,H,W], scale and offset [C] -> [B,C,H,W]. Calls `gather` once here and once in the backward pass, which must
// find it alive. Gradients of scale and offset are those of this process's samples.
at::Tensor sync_batch_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& offset,
                           BatchNormState& state, const GatherFromProcesses& gather);

}  // namespace posefix::torchgraph

// A plan's steps as primitives and kernels for one batch size.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backend.h"
#include "runtime/backends/cpu/onednn.h"

namespace posefix::runtime::cpu {

struct RunContext {
  const CropBatch* input = nullptr;
  const RefinedBatch* output = nullptr;
};

struct Operation {
  std::string name;
  std::string kernel;
  std::string precision;
  int32_t step = 0;                      // of the plan
  std::vector<plan::Choice> candidates;  // the taken one first; fewer than two: no choice
  double flop = 0;
  double bytes = 0;
  std::function<void(const RunContext&)> run;
};

class Network {
 public:
  // tuning: of the plan, null: none.
  Network(const plan::Plan& plan, const plan::Tuning* tuning, int64_t batch, WeightStore& weights,
          const dnnl::engine& engine, std::byte* arena);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  size_t scratch_bytes() const { return scratch_bytes_; }
  // Must be called before the first run and whenever the scratch memory moved.
  void bind_scratch(std::byte* scratch);
  const std::vector<Operation>& operations() const { return operations_; }
  // Steps whose choice in the tuning is not to be had here and that follow the rule.
  int64_t missing_choices() const { return missing_choices_; }
  // A plan's tensor after a run, as [B,h,w,C] f32.
  std::vector<float> read(int32_t tensor);

 private:
  friend class NetworkBuilder;
  // Where a tensor lies and in which format. `phases` > 1: as maps of even/odd rows and columns, one after the other.
  struct Value {
    Desc desc;  // of one phase if there are several
    std::byte* data = nullptr;
    int phases = 1;
    float scale = 1;  // i8, u8: value = scale * stored
  };
  struct ScratchUse {
    dnnl::memory memory;
    size_t offset = 0;
  };

  int64_t batch_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::vector<Value> values_;
  std::vector<Operation> operations_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<std::unique_ptr<PoseStem>> stems_;
  std::vector<std::unique_ptr<blocked::WinogradConvolution>> winograds_;
  std::vector<std::unique_ptr<blocked::PointwiseConvolution>> pointwise_;
  std::vector<ScratchUse> scratch_uses_;
  int64_t missing_choices_ = 0;
  size_t scratch_bytes_ = 0;
  std::byte* scratch_ = nullptr;
};

}  // namespace posefix::runtime::cpu

// Runs a plan with oneDNN. One network of primitives per batch size, made when that size first comes.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/threads.h"
#include "runtime/backends/cpu/network.h"

namespace posefix::runtime {
namespace {

using cpu::Network;

// A plan in bf16 or int8 as one in f32, for a CPU that has no such arithmetic: bf16 emulated would be slower than f32,
// and products of 8-bit numbers are summed in pairs of 16 bits where there is no VNNI, which overflow. The weights
// keep the values that they were rounded to. info().precision tells.
PlanPointer runnable(PlanPointer plan) {
  if (cpu_computes(plan->metadata.precision)) return plan;
  const uint64_t growth = sizeof(float) / (plan->metadata.precision == "bf16" ? 2 : 1);
  auto wide = std::make_shared<plan::Plan>(*plan);
  wide->metadata.precision = "f32";
  for (plan::TensorInfo& t : wide->tensors) {
    t.dtype = DType::kF32;
    t.offset *= growth;
    t.bytes *= growth;
  }
  wide->arena_bytes *= growth;
  return wide;
}

// What sessions of one plan share while any of them lives.
struct Shared {
  explicit Shared(PlanPointer compiled)
      : original(std::move(compiled)),
        plan(runnable(original)),
        engine(dnnl::engine::kind::cpu, 0),
        weights(plan, engine) {}

  PlanPointer original;
  PlanPointer plan;  // as it runs here
  dnnl::engine engine;
  cpu::WeightStore weights;
};

std::shared_ptr<Shared> shared_for(const PlanPointer& plan) {
  static std::mutex mutex;
  static std::map<const plan::Plan*, std::weak_ptr<Shared>> open;
  const std::lock_guard<std::mutex> lock(mutex);
  std::erase_if(open, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Shared>& entry = open[plan.get()];
  std::shared_ptr<Shared> shared = entry.lock();
  if (!shared) entry = shared = std::make_shared<Shared>(plan);
  return shared;
}

class CpuSession : public Session {
 public:
  CpuSession(const PlanPointer& plan, const SessionOptions& options)
      : shared_(shared_for(plan)),
        plan_(shared_->plan),
        info_(info_of(*plan_, "cpu")),
        max_batch_(options.max_batch),
        threads_(options.threads > 0 ? options.threads : available_cores()),
        arena_(cpu::allocate(plan_->arena_bytes * static_cast<uint64_t>(max_batch_))) {
    const std::string& compiled_for = shared_->original->metadata.precision;
    if (compiled_for != info_.precision) info_.missing_precision = compiled_for;
    if (const plan::Tuning* tuning = plan::tuning_for(*plan_, max_batch_)) {
      const std::string features = cpu_features();
      if (plan_->metadata.cpu_features == features) tuning_ = tuning;
      if (tuning_ == nullptr) {
        info_.tuning_notice = fmt::format("tuned on another CPU ({}; this one: {}); its choices are not used here",
                                          plan_->metadata.cpu_features, features);
      }
    }
    const int64_t missing = network(max_batch_).missing_choices();
    if (missing > 0) info_.tuning_notice = fmt::format("{} of its tuned choices are not to be had here", missing);
  }

  const ModelInfo& info() const override { return info_; }
  int64_t max_batch() const override { return max_batch_; }

  void run(const CropBatch& input, const RefinedBatch& output) override {
    check_batch(info_, max_batch_, input, output);
    Network& net = network(input.size);
    last_ = &net;
    const cpu::RunContext context{&input, &output};
    for (const cpu::Operation& operation : net.operations()) operation.run(context);
  }

  std::vector<float> kept(const std::string& name) const override {
    for (const plan::KeptTensor& entry : plan_->kept) {
      if (entry.name != name) continue;
      if (last_ == nullptr) throw bad_input("the value '{}' is there after the first run", name);
      return last_->read(entry.tensor);
    }
    throw bad_input("the plan does not keep the value '{}'", name);
  }

  std::vector<StepTime> measure_steps(const CropBatch& input, int rounds) override {
    std::vector<float> coords(static_cast<size_t>(input.size * info_.joints * 2));
    std::vector<float> spread(static_cast<size_t>(input.size * info_.joints));
    const RefinedBatch output{coords, spread};
    check_batch(info_, max_batch_, input, output);
    PFX_CHECK(rounds >= 1);
    Network& net = network(input.size);
    const cpu::RunContext context{&input, &output};
    std::vector<StepTime> times;
    for (const cpu::Operation& operation : net.operations()) {
      times.push_back({operation.name,
                       operation.kernel,
                       operation.precision,
                       0,
                       operation.flop * 1e-9,
                       operation.bytes * 1e-6,
                       {},
                       operation.step,
                       operation.candidates});
      times.back().runs.reserve(static_cast<size_t>(rounds));
    }
    using Clock = std::chrono::steady_clock;
    using Milliseconds = std::chrono::duration<double, std::milli>;
    const auto begin = Clock::now();
    for (int round = 0; round < rounds; ++round) {
      auto start = Clock::now();
      for (size_t i = 0; i < times.size(); ++i) {
        net.operations()[i].run(context);
        const auto end = Clock::now();
        times[i].runs.push_back({Milliseconds(start - begin).count(), Milliseconds(end - start).count()});
        start = end;
      }
    }
    for (StepTime& time : times) {
      std::vector<StepRun> sorted = time.runs;
      const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
      std::nth_element(sorted.begin(), middle, sorted.end(), [](auto& a, auto& b) { return a.ms < b.ms; });
      time.ms = middle->ms;
    }
    return times;
  }

 private:
  Network& network(int64_t batch) {
    omp_set_num_threads(threads_);  // of the calling thread's parallel regions, oneDNN's included
    const auto found = networks_.find(batch);
    if (found != networks_.end()) return *found->second;
    try {
      const std::lock_guard<std::mutex> lock(shared_->weights.mutex());
      auto made = std::make_unique<Network>(*plan_, tuning_, batch, shared_->weights, shared_->engine, arena_.get());
      shared_->weights.release();
      if (made->scratch_bytes() > scratch_bytes_) {
        scratch_ = cpu::allocate(made->scratch_bytes());
        scratch_bytes_ = made->scratch_bytes();
        for (auto& [size, other] : networks_) other->bind_scratch(scratch_.get());
      }
      made->bind_scratch(scratch_.get());
      return *networks_.emplace(batch, std::move(made)).first->second;
    } catch (const dnnl::error& error) {
      throw failed("oneDNN could not prepare a batch of {}: {}", batch, error.what());
    }
  }

  std::shared_ptr<Shared> shared_;
  PlanPointer plan_;
  ModelInfo info_;
  int64_t max_batch_;
  int threads_;
  const plan::Tuning* tuning_ = nullptr;  // of the plan; null: the rule alone
  cpu::AlignedBytes arena_;
  cpu::AlignedBytes scratch_;
  size_t scratch_bytes_ = 0;
  std::map<int64_t, std::unique_ptr<Network>> networks_;
  Network* last_ = nullptr;
};

}  // namespace

bool cpu_computes(const std::string& precision) {
  using cpu::has_instructions;
  if (precision == "bf16") return has_instructions(dnnl::cpu_isa::avx512_core_bf16);
  if (precision == "int8") {
    return has_instructions(dnnl::cpu_isa::avx512_core_vnni) || has_instructions(dnnl::cpu_isa::avx2_vnni);
  }
  return true;
}

std::unique_ptr<Session> open_cpu(const PlanPointer& plan, const SessionOptions& options) {
  return std::make_unique<CpuSession>(plan, options);
}

}  // namespace posefix::runtime

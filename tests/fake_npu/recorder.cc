#include "recorder.h"

#include <ATen/native/CPUFallback.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>

#include "torchgraph/recording.h"

namespace fake_npu {
namespace {

std::atomic<Tape*> g_recording = nullptr;
thread_local int g_within_kernel = 0;

// An output that the operation resizes.
bool is_sized_by_kernel(const c10::Argument& argument, const c10::IValue& value) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite() && value.isTensor() &&
         value.toTensor().defined() && value.toTensor().numel() == 0;
}

class Replays final : public posefix::torchgraph::Recording {
 public:
  explicit Replays(std::unique_ptr<Tape> tape) : tape_(std::move(tape)) {}
  ~Replays() override { std::fprintf(stderr, "fake torch_npu: a recording was replayed %d times\n", count_); }
  Replays(const Replays&) = delete;
  Replays& operator=(const Replays&) = delete;

  void replay() override {
    tape_->replay();
    ++count_;
  }

 private:
  std::unique_ptr<Tape> tape_;
  int count_ = 0;
};

}  // namespace

Tape* recording() { return g_recording; }

void check_not_recording(const char* what) {
  TORCH_CHECK(recording() == nullptr || g_within_kernel > 0, "fake torch_npu: while recording: ", what);
}

WithinKernel::WithinKernel() { ++g_within_kernel; }
WithinKernel::~WithinKernel() { --g_within_kernel; }

at::Tensor Tape::alias(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  const at::Storage& storage = tensor.storage();
  auto* memory = static_cast<char*>(storage.data_ptr().get());
  if (memory == nullptr) {
    // Nothing yet: an output that is sized later.
  } else if (allocated_.count(memory) > 0) {
    inside_.emplace(memory, storage);
  } else if (outside_.count(memory) == 0) {
    outside_.emplace(memory,
                     Outside{storage.getWeakStorageImpl(), std::vector<char>(memory, memory + storage.nbytes())});
  }
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
}

c10::IValue Tape::alias(const c10::IValue& value) {
  if (value.isTensor()) return alias(value.toTensor());
  if (value.isDevice()) return at::Device(at::kCPU);
  if (!value.isTensorList()) return value;
  c10::List<at::Tensor> list;
  for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(alias(tensor));
  return list;
}

void Tape::call(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::string name = schema.name();
  for (const c10::Argument& result : schema.returns()) {
    const bool is_on_device =
        result.type()->isSubtypeOf(*c10::TensorType::get()) || result.type()->isSubtypeOf(*c10::ListType::ofTensors());
    TORCH_CHECK(is_on_device, "fake torch_npu: while recording: the host reads a value (", name, ")");
  }
  const size_t count = schema.arguments().size();
  const torch::jit::Stack given(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  torch::jit::Stack arguments;
  std::vector<size_t> sized;  // arguments that the kernel sizes
  for (size_t i = 0; i < count; ++i) {
    if (is_sized_by_kernel(schema.arguments()[i], given[i])) sized.push_back(i);
    arguments.push_back(alias(given[i]));
  }
  {
    const WithinKernel within;
    at::native::cpu_fallback(op, stack);
  }
  std::vector<std::pair<size_t, at::Tensor>> results;  // of the stack: where they lie, if in no argument
  for (size_t i = 0; i < schema.returns().size(); ++i) {
    const c10::IValue& result = (*stack)[stack->size() - schema.returns().size() + i];
    TORCH_CHECK(result.isTensor(), "fake torch_npu: ", name, " has a list of results, which recorder.cc does not know");
    const bool is_argument = std::any_of(given.begin(), given.end(), [&](const c10::IValue& argument) {
      return argument.isTensor() && argument.toTensor().is_same(result.toTensor());
    });
    if (!is_argument && result.toTensor().defined()) results.emplace_back(i, alias(result.toTensor()));
  }
  std::vector<std::pair<size_t, at::Tensor>> outputs;
  for (const size_t i : sized) outputs.emplace_back(i, alias(given[i].toTensor()));
  add([op, arguments, outputs, results] {
    torch::jit::Stack values = arguments;
    std::vector<at::Tensor> fresh;
    for (const auto& [i, memory] : outputs) {
      fresh.push_back(at::empty({0}, memory.options()));
      values[i] = fresh.back();
    }
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &values);
    for (size_t i = 0; i < outputs.size(); ++i) outputs[i].second.copy_(fresh[i]);
    for (const auto& [i, memory] : results) memory.copy_(values[i].toTensor());
  });
}

void Tape::finish() {
  for (auto& [memory, outside] : outside_) std::copy(outside.before.begin(), outside.before.end(), memory);
  for (auto& [memory, storage] : inside_) std::fill_n(memory, storage.nbytes(), '\xFF');
}

void Tape::replay() const {
  for (const auto& [memory, outside] : outside_) {
    const auto storage = outside.storage.lock();
    TORCH_CHECK(storage && storage->data_ptr().get() == memory,
                "fake torch_npu: replay: memory that the recording uses was freed or has moved");
  }
  const at::NoGradGuard no_grad;
  for (const auto& kernel : kernels_) kernel();
}

}  // namespace fake_npu

extern "C" __attribute__((visibility("default"))) void posefix_record_work(
    const at::Device& device, const std::function<void()>& work,
    std::unique_ptr<posefix::torchgraph::Recording>* recording);

void posefix_record_work(const at::Device& device, const std::function<void()>& work,
                         std::unique_ptr<posefix::torchgraph::Recording>* recording) {
  TORCH_CHECK(device.type() == c10::DeviceType::PrivateUse1, "fake torch_npu: records no ", device);
  work();
  auto tape = std::make_unique<fake_npu::Tape>();
  fake_npu::g_recording = tape.get();
  try {
    work();
  } catch (...) {
    fake_npu::g_recording = nullptr;
    throw;
  }
  fake_npu::g_recording = nullptr;
  tape->finish();
  *recording = std::make_unique<fake_npu::Replays>(std::move(tape));
}

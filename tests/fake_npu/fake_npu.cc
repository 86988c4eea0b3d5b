// A stand-in for torch_npu: loading this library registers two devices of LibTorch's PrivateUse1 kind, which is how an
// Ascend NPU appears to LibTorch.
//
// Its memory is host memory under another name, and every operation runs on the CPU's kernels: so values are the CPU's
// to the bit, while LibTorch refuses, as on the real device, whatever mixes up the two (a CPU tensor in a device
// operation, data_ptr() of a device tensor in a CPU loop is what tests are for). Operations that LibTorch cannot send
// to the CPU by itself are written out: allocation, copies, views, convolutions and batch norm, whose moving averages
// would be lost. So is the square root: of a LibTorch with MKL the CPU's kernel is MKL's vector function, which is off
// by a bit for a fifth of all values, while the CPU's own step of Adam has IEEE 754's, as devices do. Non-goals:
// streams, asynchrony, Ascend's rounding. recorder.h: what it records.
#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>
#include <torch/version.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "recorder.h"
#include "torchgraph/batch_norm.h"
#include "torchgraph/transposed_product.h"
#include "torchgraph/winograd.h"

#define FAKE_NPU_TORCH (TORCH_VERSION_MAJOR * 100 + TORCH_VERSION_MINOR)
#if FAKE_NPU_TORCH >= 201
#include <ATen/detail/PrivateUse1HooksInterface.h>
#endif

namespace fake_npu {
namespace {

constexpr c10::DeviceType kNpu = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;
thread_local c10::DeviceIndex g_current = 0;
std::atomic<bool> g_started = false;

using OptionalTensor = c10::optional<at::Tensor>;

// One stream, on which everything has happened when a call returns.
class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  static constexpr c10::DeviceType static_type = kNpu;
  Guard() = default;
  explicit Guard(c10::DeviceType /*type*/) {}
  c10::DeviceType type() const override { return kNpu; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before(kNpu, g_current);
    g_current = device.index();
    return before;
  }
  c10::Device getDevice() const override { return {kNpu, g_current}; }
  void setDevice(c10::Device device) const override { g_current = device.index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { g_current = device.index(); }
  c10::Stream getStream(c10::Device device) const noexcept override { return the_stream(device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return the_stream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
  void record(void** /*event*/, const c10::Stream& /*stream*/, const c10::DeviceIndex /*device*/,
              const c10::EventFlag /*flag*/) const override {}
  void block(void* /*event*/, const c10::Stream& /*stream*/) const override {}
  bool queryEvent(void* /*event*/) const override {
    check_not_recording("the host waits for an event");
    return true;
  }
  void destroyEvent(void* /*event*/, const c10::DeviceIndex /*device*/) const noexcept override {}
  bool queryStream(const c10::Stream& /*stream*/) const override { return true; }
  void synchronizeStream(const c10::Stream& /*stream*/) const override {
    check_not_recording("the host waits for a stream");
  }
  void recordDataPtrOnStream(const c10::DataPtr& /*data*/, const c10::Stream& /*stream*/) const override {}

 private:
  static c10::Stream the_stream(c10::Device device) noexcept { return c10::Stream(c10::Stream::DEFAULT, device); }
};

void free_memory(void* pointer) { c10::free_cpu(pointer); }

class Allocator final : public at::Allocator {
 public:
#if FAKE_NPU_TORCH >= 203
  at::DataPtr allocate(size_t bytes) override { return take(bytes); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
#else
  at::DataPtr allocate(size_t bytes) const override { return take(bytes); }
#endif
  at::DeleterFnPtr raw_deleter() const override { return &free_memory; }

 private:
  static at::DataPtr take(size_t bytes) {
    TORCH_CHECK(g_started, "fake torch_npu: used before torch_npu::init_npu");
    void* pointer = c10::alloc_cpu(bytes);
    if (Tape* tape = recording()) tape->note_allocation(pointer);
    return {pointer, pointer, &free_memory, at::Device(kNpu, g_current)};
  }
};

Allocator g_allocator;

// The same memory as a CPU tensor.
at::Tensor on_cpu(const at::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  if (Tape* tape = recording()) return tape->alias(tensor);
  return at::from_blob(
      tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, tensor.options().device(at::kCPU));
}

OptionalTensor on_cpu(const OptionalTensor& tensor) {
  if (!tensor || !tensor->defined()) return c10::nullopt;
  return on_cpu(*tensor);
}

// On the device: what `compute` makes of CPU tensors, which are device memory.
template <typename Compute>
std::vector<at::Tensor> run(const at::Device& device, const Compute& compute) {
  std::vector<at::Tensor> results;
  {
    const WithinKernel within;
    for (const at::Tensor& value : compute()) results.push_back(value.defined() ? value.to(device) : value);
  }
  if (Tape* tape = recording()) {
    std::vector<at::Tensor> memory;
    for (const at::Tensor& result : results) memory.push_back(tape->alias(result));
    tape->add([compute, memory] {
      const std::vector<at::Tensor> values = compute();
      for (size_t i = 0; i < values.size(); ++i) {
        if (memory[i].defined()) memory[i].copy_(values[i]);
      }
    });
  }
  return results;
}

at::Device device_or_current(c10::optional<at::Device> device) {
  return device && device->has_index() ? *device : at::Device(kNpu, g_current);
}

at::Tensor empty(at::IntArrayRef size, c10::optional<at::ScalarType> type, c10::optional<at::Layout> /*layout*/,
                 c10::optional<at::Device> device, c10::optional<bool> /*pinned*/,
                 c10::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_generic(size, &g_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(type), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, c10::optional<at::ScalarType> type,
                         c10::optional<at::Layout> /*layout*/, c10::optional<at::Device> device,
                         c10::optional<bool> /*pinned*/) {
  const c10::DeviceGuard guard(device_or_current(device));
  return at::detail::empty_strided_generic(
      size, stride, &g_allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(type));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool /*non_blocking*/) {
  if (from.is_cpu()) check_not_recording("a copy from the host");
  if (to.is_cpu()) check_not_recording("a copy to the host");
  const at::NoGradGuard no_grad;
  const auto copy = [from = on_cpu(from.detach()), to = on_cpu(to.detach())] { to.copy_(from); };
  copy();
  if (recording() != nullptr && !from.is_cpu() && !to.is_cpu()) recording()->add(copy);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const at::Tensor& resize(const at::Tensor& tensor, at::IntArrayRef size, c10::optional<at::MemoryFormat> format) {
  c10::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  at::native::maybe_resize_storage_cpu(
      impl, at::detail::computeStorageNbytesContiguous(size, impl->dtype().itemsize(), impl->storage_offset()));
  if (format && *format != at::MemoryFormat::Preserve) impl->empty_tensor_restride(*format);
  return tensor;
}

at::Tensor& set_storage(at::Tensor& tensor, at::Storage storage, int64_t offset, at::IntArrayRef size,
                        at::IntArrayRef stride) {
  c10::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(storage));
  impl->set_storage_offset(offset);
  if (stride.data() == nullptr) {
    impl->set_sizes_contiguous(size);
  } else {
    impl->set_sizes_and_strides(size, stride);
  }
  return tensor;
}

at::Tensor as_strided(const at::Tensor& tensor, at::IntArrayRef size, at::IntArrayRef stride,
                      c10::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, size, stride, offset);
}

at::Tensor view(const at::Tensor& tensor, at::IntArrayRef size) { return at::native::view(tensor, size); }

at::Tensor reshape_alias(const at::Tensor& tensor, at::IntArrayRef size, at::IntArrayRef stride) {
  return at::native::_reshape_alias(tensor, size, stride);
}

// How posefix computes that convolution on a CPU, if not by LibTorch.
struct OwnForm {
  std::function<at::Tensor()> forward;  // empty: LibTorch's
  std::function<std::pair<at::Tensor, at::Tensor>(const at::Tensor& dy, bool wants_x, bool wants_filter)> backward;
};

OwnForm own_form(const at::Tensor& x, const at::Tensor& filter, at::IntArrayRef stride, at::IntArrayRef padding,
                 bool transposed) {
  namespace tg = posefix::torchgraph;
  const tg::WinogradKind kind = transposed ? tg::WinogradKind::k4x4Transposed : tg::WinogradKind::k3x3;
  const int64_t step = transposed ? 2 : 1;
  if (stride != at::IntArrayRef({step, step}) || padding != at::IntArrayRef({1, 1})) return {};
  if (tg::winograd_fits(kind, x, filter)) {
    return {[=] { return tg::winograd_forward(kind, x, filter); },
            [=](const at::Tensor& dy, bool wants_x, bool wants_filter) {
              return tg::winograd_backward(kind, dy, x, filter, wants_x, wants_filter);
            }};
  }
  if (transposed && tg::transposed_product_fits(x, filter)) {
    return {[=] { return tg::transposed_product_forward(x, filter); },
            [=](const at::Tensor& dy, bool wants_x, bool wants_filter) {
              return tg::transposed_product_backward(dy, x, filter, wants_x, wants_filter);
            }};
  }
  return {};
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& filter, const OptionalTensor& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  const auto compute = [x = on_cpu(x), filter = on_cpu(filter), bias = on_cpu(bias), stride = stride.vec(),
                        padding = padding.vec(), dilation = dilation.vec(), transposed,
                        output_padding = output_padding.vec(), groups] {
    if (const auto form = own_form(x, filter, stride, padding, transposed); form.forward) {
      const at::Tensor y = form.forward();
      return std::vector{bias ? y + bias->view({1, -1, 1, 1}) : y};
    }
    return std::vector{at::convolution(x, filter, bias, stride, padding, dilation, transposed, output_padding, groups)};
  };
  return run(x.device(), compute).front();
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(const at::Tensor& dy, const at::Tensor& x,
                                                                    const at::Tensor& filter, at::IntArrayRef stride,
                                                                    at::IntArrayRef padding, at::IntArrayRef dilation,
                                                                    bool transposed, at::IntArrayRef output_padding,
                                                                    int64_t groups, std::array<bool, 3> wanted) {
  const auto compute = [dy = on_cpu(dy), x = on_cpu(x), filter = on_cpu(filter), stride = stride.vec(),
                        padding = padding.vec(), dilation = dilation.vec(), transposed,
                        output_padding = output_padding.vec(), groups, wanted] {
    const auto form = own_form(x, filter, stride, padding, transposed);
    if (form.backward && !wanted[2]) {
      auto [dx, dfilter] = form.backward(dy, wanted[0], wanted[1]);
      return std::vector{dx, dfilter, at::Tensor()};
    }
    const std::vector<int64_t> bias_size{dy.size(1)};
    const auto [dx, dfilter, dbias] = at::convolution_backward(
        dy, x, filter, wanted[2] ? at::OptionalIntArrayRef(bias_size) : at::OptionalIntArrayRef(), stride, padding,
        dilation, transposed, output_padding, groups, wanted);
    return std::vector{dx, dfilter, dbias};
  };
  const std::vector<at::Tensor> results = run(x.device(), compute);
  return {results[0], results[1], results[2]};
}

// Whether posefix computes that batch norm on a CPU itself.
bool is_own_batch_norm(const at::Tensor& x, const OptionalTensor& scale, bool training) {
  return training && scale && posefix::torchgraph::batch_norm_fits(x, *scale);
}

// The moving averages are the device's memory under a CPU tensor, and so are updated in place.
std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm(const at::Tensor& x, const OptionalTensor& scale,
                                                          const OptionalTensor& offset, const OptionalTensor& mean,
                                                          const OptionalTensor& variance, bool training,
                                                          double momentum, double epsilon) {
  const auto compute = [x = on_cpu(x), scale = on_cpu(scale), offset = on_cpu(offset), mean = on_cpu(mean),
                        variance = on_cpu(variance), training, momentum, epsilon] {
    if (is_own_batch_norm(x, scale, training)) {
      posefix::torchgraph::BatchNormState state{*mean, *variance, momentum, epsilon};
      const auto result = posefix::torchgraph::batch_norm_forward(x, *scale, *offset, state, {});
      return std::vector{result.y, result.mean, result.inverse_deviation};
    }
    const auto [y, saved_mean, saved_inverse] =
        at::native_batch_norm(x, scale, offset, mean, variance, training, momentum, epsilon);
    return std::vector{y, saved_mean, saved_inverse};
  };
  const std::vector<at::Tensor> results = run(x.device(), compute);
  return {results[0], results[1], results[2]};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm_backward(
    const at::Tensor& dy, const at::Tensor& x, const OptionalTensor& scale, const OptionalTensor& mean,
    const OptionalTensor& variance, const OptionalTensor& saved_mean, const OptionalTensor& saved_inverse,
    bool training, double epsilon, std::array<bool, 3> wanted) {
  const auto compute = [dy = on_cpu(dy), x = on_cpu(x), scale = on_cpu(scale), mean = on_cpu(mean),
                        variance = on_cpu(variance), saved_mean = on_cpu(saved_mean),
                        saved_inverse = on_cpu(saved_inverse), training, epsilon, wanted] {
    if (is_own_batch_norm(x, scale, training)) {
      const auto gradients = posefix::torchgraph::batch_norm_backward(
          dy, x, *scale, {at::Tensor(), *saved_mean, *saved_inverse}, /*has_residual=*/false, /*has_relu=*/false);
      return std::vector{gradients.x, gradients.scale, gradients.offset};
    }
    const auto [dx, dscale, doffset] = at::native_batch_norm_backward(dy, x, scale, mean, variance, saved_mean,
                                                                      saved_inverse, training, epsilon, wanted);
    return std::vector{dx, dscale, doffset};
  };
  const std::vector<at::Tensor> results = run(x.device(), compute);
  return {results[0], results[1], results[2]};
}

at::Tensor sqrt(const at::Tensor& x) {
  const auto compute = [x = on_cpu(x)] {
    const at::Tensor from = x.contiguous();
    at::Tensor roots = at::empty_like(from);
    AT_DISPATCH_FLOATING_TYPES(from.scalar_type(), "sqrt", [&] {
      const scalar_t* values = from.data_ptr<scalar_t>();
      std::transform(values, values + from.numel(), roots.data_ptr<scalar_t>(),
                     [](scalar_t value) { return std::sqrt(value); });
    });
    return std::vector{roots};
  };
  return run(x.device(), compute).front();
}

// Whether a tensor may take over another's memory: what moves a module between devices asks this.
bool same_kind(const at::Tensor& a, const at::Tensor& b) {
  const auto ours = [](c10::DispatchKeySet keys) {
    return keys.has(c10::DispatchKey::CPU) || keys.has(c10::DispatchKey::PrivateUse1);
  };
  return a.key_set() == b.key_set() || (ours(a.key_set()) && ours(b.key_set()));
}

void on_cpu_instead(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (Tape* tape = recording()) {
    tape->call(op, stack);
  } else {
    at::native::cpu_fallback(op, stack);
  }
}

#if FAKE_NPU_TORCH >= 201
struct Hooks final : public at::PrivateUse1HooksInterface {
  bool hasPrimaryContext(c10::DeviceIndex /*device*/) const override { return true; }
#if FAKE_NPU_TORCH >= 206
  // Page-locked memory is the host's too.
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  bool isPinnedPtr(const void* /*data*/) const override { return false; }
#endif
};
Hooks g_hooks;
#endif

// Registered as the library is loaded, so it runs after what the program registers.
void check_end() {
  if (!g_started) return;
  std::fputs("fake torch_npu: the process ends without torch_npu::finalize_npu\n", stderr);
  std::_Exit(70);
}

const bool g_registered = [] {
  std::atexit(&check_end);
  c10::SetAllocator(kNpu, &g_allocator);
#if FAKE_NPU_TORCH >= 201
  c10::register_privateuse1_backend("npu");
  at::RegisterPrivateUse1HooksInterface(&g_hooks);
#endif
  return true;
}();

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", TORCH_FN(empty));
  m.impl("empty_strided", TORCH_FN(empty_strided));
  m.impl("_copy_from", TORCH_FN(copy_from));
  m.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  m.impl("resize_", TORCH_FN(resize));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(set_storage));
  m.impl("as_strided", TORCH_FN(as_strided));
  m.impl("view", TORCH_FN(view));
  m.impl("_reshape_alias", TORCH_FN(reshape_alias));
  m.impl("convolution_overrideable", TORCH_FN(convolution));
  m.impl("convolution_backward_overrideable", TORCH_FN(convolution_backward));
  m.impl("native_batch_norm", TORCH_FN(batch_norm));
  m.impl("native_batch_norm_backward", TORCH_FN(batch_norm_backward));
  m.impl("sqrt", TORCH_FN(sqrt));
}
TORCH_LIBRARY_IMPL(aten, CatchAll, m) { m.impl("_has_compatible_shallow_copy_type", TORCH_FN(same_kind)); }
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_cpu_instead>()); }

}  // namespace fake_npu

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(PrivateUse1, ::fake_npu::Guard);
}  // namespace c10::impl

namespace torch_npu {

__attribute__((visibility("default"))) void init_npu(const at::Device& device);
__attribute__((visibility("default"))) void finalize_npu();

void init_npu(const at::Device& device) {
  TORCH_CHECK(device.type() == fake_npu::kNpu, "fake torch_npu: init_npu of ", device);
  fake_npu::g_started = true;
}

void finalize_npu() { fake_npu::g_started = false; }

}  // namespace torch_npu

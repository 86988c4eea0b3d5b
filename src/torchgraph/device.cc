#include "torchgraph/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <malloc.h>
#include <torch/version.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/threads.h"

namespace posefix::torchgraph {
namespace {

struct DeviceKind {
  std::string name;          // ours
  at::DeviceType type;       // LibTorch's
  std::string library;       // registers the device's kernels when it is loaded
  const char* override_env;  // another path of that library
  const char* device_file;   // present on machines that have one: what "auto" asks for
  std::string collective;    // connects processes on such devices; see train/process_group.h
  const char* collective_override_env;
  std::string recorder;  // records work of such devices; see recording.h. "": nobody does
  const char* recorder_override_env;
};

const DeviceKind kCuda{"cuda",
                       at::kCUDA,
                       "libtorch_cuda.so",
                       "POSEFIX_CUDA_LIBRARY",
                       "/dev/nvidiactl",
                       "libposefix_nccl.so",
                       "POSEFIX_NCCL_LIBRARY",
                       "libposefix_cuda_graph.so",
                       "POSEFIX_CUDA_GRAPH_LIBRARY"};
const DeviceKind kNpu{"npu",
                      at::DeviceType::PrivateUse1,
                      "libtorch_npu.so",
                      "POSEFIX_NPU_LIBRARY",
                      "/dev/davinci_manager",
                      "libposefix_hccl.so",
                      "POSEFIX_HCCL_LIBRARY",
                      "",
                      "POSEFIX_NPU_GRAPH_LIBRARY"};

// CUDA's kernels lie beside libtorch_cpu, which the loader found already; torch_npu's in a package beside LibTorch's.
std::string near_libtorch(const std::string& library) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &info) == 0 || info.dli_fname == nullptr) return library;
  const std::filesystem::path folder = std::filesystem::path(info.dli_fname).parent_path();
  for (const std::filesystem::path& candidate : {folder / library, folder / "../../torch_npu/lib" / library}) {
    if (std::filesystem::exists(candidate)) return candidate.string();
  }
  return library;
}

int device_count(at::DeviceType type) {
  const c10::impl::DeviceGuardImplInterface* guard = c10::impl::device_guard_impl_registry[static_cast<size_t>(type)];
  return guard == nullptr ? 0 : static_cast<int>(guard->deviceCount());
}

// Number of devices; `problem` says why there is none.
int load(const DeviceKind& kind, std::string& problem) {
  if (device_count(kind.type) == 0) {
    // cuBLAS refuses deterministic algorithms without a fixed workspace, and reads this when it is first used.
    if (kind.type == at::kCUDA) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
    const char* given = std::getenv(kind.override_env);
    const std::string library = given != nullptr ? given : near_libtorch(kind.library);
    if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      problem = fmt::format("{} could not be loaded: {}", library, dlerror());
      return 0;
    }
  }
  const int count = device_count(kind.type);
  if (count == 0) problem = "the driver reports no device";
  return count;
}

// A device by name, its library loaded and not yet used.
at::Device find_kind(const DeviceKind& kind, const std::string& name) {
  int index = 0;
  if (name.size() > kind.name.size()) {
    const std::string digits = name.substr(kind.name.size() + 1);
    if (digits.empty() || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos) {
      throw bad_input("--device {}: expected {}:NUMBER", name, kind.name);
    }
    index = std::stoi(digits);
  }
  std::string problem;
  const int count = load(kind, problem);
  if (count == 0) throw failed("--device {}: {} (LibTorch {})", name, problem, libtorch_version());
  if (index >= count) throw failed("--device {}: this machine has {} of them, numbered from 0", name, count);
  return {kind.type, static_cast<at::DeviceIndex>(index)};
}

// torch_npu's own start and end, which its Python half would call. By the names that the linker sees; neither depends
// on the standard library. Source: Ascend/pytorch, torch_npu/csrc/libs/init_npu.h, the same from 2.0 to 2.15.
constexpr const char* kInitNpu = "_ZN9torch_npu8init_npuERKN3c106DeviceE";
constexpr const char* kFinalizeNpu = "_ZN9torch_npu12finalize_npuEv";

void finalize_npu() noexcept {
  try {
    reinterpret_cast<void (*)()>(dlsym(RTLD_DEFAULT, kFinalizeNpu))();
  } catch (const std::exception&) {
    // The process ends anyway, and the driver takes the device back.
  }
}

void start_npu(const at::Device& device) {
  const auto init = reinterpret_cast<void (*)(const at::Device&)>(dlsym(RTLD_DEFAULT, kInitNpu));
  if (init == nullptr || dlsym(RTLD_DEFAULT, kFinalizeNpu) == nullptr) {
    throw failed("--device npu: the library that was loaded for it has no torch_npu::init_npu; torch_npu 2.0 or later");
  }
  init(device);
  static const bool ends_in_order = std::atexit(&finalize_npu) == 0;
  PFX_CHECK(ends_in_order);
}

at::Device find_device(const std::string& name) {
  const std::string kind = name.substr(0, name.find(':'));
  if (name == "cpu") return at::kCPU;
  if (kind == kCuda.name) return find_kind(kCuda, name);
  if (kind == kNpu.name) return find_kind(kNpu, name);
  if (name != "auto" && !name.empty()) throw bad_input("--device {}: expected auto, cpu, cuda or npu", name);
  for (const DeviceKind* candidate : {&kCuda, &kNpu}) {
    std::string problem;
    if (std::filesystem::exists(candidate->device_file) && load(*candidate, problem) > 0) {
      return {candidate->type, 0};
    }
  }
  return at::kCPU;
}

// Of "cuda" or "cuda:1"; null for the CPU.
const DeviceKind* kind_of(const std::string& name) {
  for (const DeviceKind* kind : {&kCuda, &kNpu}) {
    if (name.substr(0, name.find(':')) == kind->name) return kind;
  }
  return nullptr;
}

std::string value_or(const char* environment_variable, const std::string& otherwise) {
  const char* given = std::getenv(environment_variable);
  return given != nullptr ? given : otherwise;
}

// With deterministic algorithms LibTorch 2 writes NaN into all memory that it hands out; no operation here reads such.
template <typename Context>
void leave_new_memory_alone(Context& context) {
  if constexpr (requires { context.setDeterministicFillUninitializedMemory(false); }) {
    context.setDeterministicFillUninitializedMemory(false);
  }
}

}  // namespace

at::Device open_device(const std::string& name) {
  const at::Device device = find_device(name);
  if (device.type() == kNpu.type) start_npu(device);
  return device;
}

std::string device_name(const at::Device& device) {
  if (device.is_cpu()) return "cpu";
  return fmt::format("{}:{}", device.type() == kNpu.type ? kNpu.name : kCuda.name, static_cast<int>(device.index()));
}

std::string device_of_process(const std::string& name, int64_t local_rank, int64_t local_world) {
  if (name.find(':') != std::string::npos) {
    if (local_world == 1) return name;
    throw bad_input("--device {}: {} processes on this machine would share it; leave the number out", name,
                    local_world);
  }
  const at::Device first = find_device(name);  // not started: every process would hold a context on number 0
  if (first.is_cpu()) return "cpu";
  // A launcher may show every process its own device alone.
  const bool sees_one = device_count(first.type()) == 1;
  return device_name({first.type(), static_cast<at::DeviceIndex>(sees_one ? 0 : local_rank)});
}

std::string collective_library(const std::string& name) {
  const DeviceKind* kind = kind_of(name);
  return kind == nullptr ? "" : value_or(kind->collective_override_env, kind->collective);
}

std::string recorder_library(const std::string& name) {
  const DeviceKind* kind = kind_of(name);
  return kind == nullptr ? "" : value_or(kind->recorder_override_env, kind->recorder);
}

int fix_threads(int threads) {
  const int resolved = threads > 0 ? threads : available_cores();
  at::set_num_threads(resolved);
  // Debian's LibTorch calls OpenBLAS for transposed convolutions; its own pool does not follow LibTorch's number.
  using SetThreads = void (*)(int);
  if (const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) set(resolved);
  at::globalContext().setDeterministicAlgorithms(true, false);
  leave_new_memory_alone(at::globalContext());
  at::globalContext().setBenchmarkCuDNN(false);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  return resolved;
}

void keep_freed_memory() {
  ::mallopt(M_MMAP_MAX, 0);              // large blocks from the heap too
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);  // and the heap's end is not given back
  ::mallopt(M_TOP_PAD, 64 << 20);        // which grows in larger steps
}

std::string libtorch_version() { return TORCH_VERSION; }

}  // namespace posefix::torchgraph

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "cli/doctor/library.h"
#include "cli/doctor/probe.h"

namespace posefix::cli::doctor {
namespace {

std::string cuda_version(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

// The driver's C interface; the functions' results are 0 for success.
struct Driver {
  explicit Driver(const Library& library)
      : init(library.find<int(unsigned)>("cuInit")),
        version(library.find<int(int*)>("cuDriverGetVersion")),
        count(library.find<int(int*)>("cuDeviceGetCount")),
        device(library.find<int(int*, int)>("cuDeviceGet")),
        name(library.find<int(char*, int, int)>("cuDeviceGetName")),
        memory(library.find<int(size_t*, int)>("cuDeviceTotalMem_v2")),
        attribute(library.find<int(int*, int, int)>("cuDeviceGetAttribute")) {}
  bool is_whole() const {
    return init != nullptr && version != nullptr && count != nullptr && device != nullptr && name != nullptr &&
           memory != nullptr && attribute != nullptr;
  }
  int (*init)(unsigned);
  int (*version)(int*);
  int (*count)(int*);
  int (*device)(int*, int);
  int (*name)(char*, int, int);
  int (*memory)(size_t*, int);
  int (*attribute)(int*, int, int);
};

Finding describe(const Driver& driver, int index) {
  constexpr int kCapabilityMajor = 75;
  constexpr int kCapabilityMinor = 76;
  int device = 0;
  std::array<char, 256> name{};
  size_t bytes = 0;
  int major = 0;
  int minor = 0;
  const std::string what = fmt::format("GPU {}", index);
  if (driver.device(&device, index) != 0 || driver.name(name.data(), static_cast<int>(name.size()), device) != 0 ||
      driver.memory(&bytes, device) != 0 || driver.attribute(&major, kCapabilityMajor, device) != 0 ||
      driver.attribute(&minor, kCapabilityMinor, device) != 0) {
    return {what, Status::kBroken, "the driver does not describe it", "restart the driver; see nvidia-smi"};
  }
  return {what, Status::kOk,
          fmt::format("{}, {:.1f} GiB, compute capability {}.{}", name.data(),
                      static_cast<double>(bytes) / (1024.0 * 1024 * 1024), major, minor),
          ""};
}

// Driver and devices; true if there is at least one usable GPU.
bool probe_driver(std::vector<Finding>& findings) {
  const Library library({"libcuda.so.1"});
  if (!library.is_loaded()) {
    findings.push_back({"NVIDIA driver", Status::kMissing, library.problem(), "install the driver of the GPU"});
    return false;
  }
  const Driver driver(library);
  if (!driver.is_whole()) {
    findings.push_back({"NVIDIA driver", Status::kBroken, library.path() + " lacks functions of the driver's interface",
                        "install the driver again"});
    return false;
  }
  int version = 0;
  int count = 0;
  const int code = driver.init(0);
  if (code != 0 || driver.version(&version) != 0 || driver.count(&count) != 0) {
    findings.push_back({"NVIDIA driver", Status::kBroken, fmt::format("{}: cuInit says {}", library.path(), code),
                        "100: no GPU is visible (CUDA_VISIBLE_DEVICES, container flags); 803, 804: the driver does not "
                        "fit this library; else see nvidia-smi"});
    return false;
  }
  findings.push_back({"NVIDIA driver", Status::kOk, "for CUDA up to " + cuda_version(version), ""});
  bool any = false;
  for (int i = 0; i < count; ++i) {
    findings.push_back(describe(driver, i));
    any = any || findings.back().status == Status::kOk;
  }
  if (count == 0) findings.push_back({"GPU", Status::kMissing, "none is visible", "see CUDA_VISIBLE_DEVICES"});
  return any;
}

// LibTorch's part for CUDA lies beside libtorch_cpu.
Finding torch_cuda() {
  const TorchFound& torch = find_torch();
  if (torch.version.empty()) return torch_finding();
  const Library library({std::filesystem::path(torch.path).replace_filename("libtorch_cuda.so").string()});
  if (library.is_loaded()) return {"LibTorch for CUDA", Status::kOk, library.path(), ""};
  return {
      "LibTorch for CUDA", Status::kMissing, library.problem(),
      fmt::format("LibTorch {} here is for the CPU alone; pip install torch with CUDA and build again", torch.version)};
}

Finding runtime() {
  const Library library({"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so"});
  auto* ask = library.find<int(int*)>("cudaRuntimeGetVersion");
  int version = 0;
  if (ask == nullptr || ask(&version) != 0) {
    return {"CUDA runtime", Status::kNote, library.problem(), "LibTorch 2.x brings its own"};
  }
  return {"CUDA runtime", Status::kOk, cuda_version(version) + " in " + library.path(), ""};
}

Finding cudnn() {
  const Library library({"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"});
  auto* ask = library.find<size_t()>("cudnnGetVersion");
  if (ask == nullptr) return {"cuDNN", Status::kNote, library.problem(), "LibTorch 2.x brings its own"};
  const size_t version = ask();
  const size_t major = version >= 90000 ? version / 10000 : version / 1000;
  const size_t rest = version >= 90000 ? version % 10000 : version % 1000;
  return {"cuDNN", Status::kOk, fmt::format("{}.{}.{} in {}", major, rest / 100, rest % 100, library.path()), ""};
}

Finding nccl() {
  const Library library({"libnccl.so.2", "libnccl.so"});
  auto* ask = library.find<int(int*)>("ncclGetVersion");
  int version = 0;
  if (ask == nullptr || ask(&version) != 0) {
    return {"NCCL", Status::kNote, library.problem(), "only training on several GPUs needs it"};
  }
  const bool is_new = version >= 10000;
  return {"NCCL", Status::kOk,
          fmt::format("{}.{}.{} in {}", version / (is_new ? 10000 : 1000), version % (is_new ? 10000 : 1000) / 100,
                      version % 100, library.path()),
          ""};
}

}  // namespace

DeviceReport probe_cuda() {
  DeviceReport report;
  report.device = "cuda";
  const bool has_gpu = probe_driver(report.findings);
  report.findings.push_back(torch_cuda());
  report.refines = report.trains = has_gpu && report.findings.back().status == Status::kOk;
  report.findings.push_back(runtime());  // after LibTorch, which may have loaded its own copies
  report.findings.push_back(cudnn());
  report.findings.push_back(nccl());
  return report;
}

}  // namespace posefix::cli::doctor

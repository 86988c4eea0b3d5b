#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <fstream>

#include "base/threads.h"
#include "cli/doctor/library.h"
#include "cli/doctor/probe.h"

namespace posefix::cli::doctor {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

Finding features() {
  std::vector<std::string> have;
#if defined(__x86_64__)
  const auto note = [&](bool has, const char* name) {
    if (has) have.emplace_back(name);
  };
  note(__builtin_cpu_supports("avx2") != 0, "avx2");
  note(__builtin_cpu_supports("fma") != 0, "fma");
  note(__builtin_cpu_supports("avx512f") != 0, "avx512f");
  note(__builtin_cpu_supports("avx512vnni") != 0, "avx512vnni");
  note(__builtin_cpu_supports("avx512bf16") != 0, "avx512bf16");
  if (!__builtin_cpu_supports("avx2")) {
    return {"instructions", Status::kNote, "no avx2", "everything runs, several times slower than on a newer CPU"};
  }
#endif
  return {"instructions", Status::kOk,
          have.empty() ? "the compiler's default" : fmt::format("{}", fmt::join(have, " ")), ""};
}

Finding memory() {
  const double gib = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE)) /
                     (1024.0 * 1024 * 1024);
  return {"memory", gib < 1 ? Status::kNote : Status::kOk, fmt::format("{:.1f} GiB", gib),
          gib < 1 ? "refine with --batch 1" : ""};
}

// oneDNN is linked into the program when the cpu backend is built in.
Finding onednn() {
  struct Version {
    int major, minor, patch;
  };
  using Ask = const Version*();
  auto* ask = reinterpret_cast<Ask*>(::dlsym(RTLD_DEFAULT, "dnnl_version"));
  if (ask == nullptr) {
    return {"oneDNN", Status::kMissing, "this program was built without the cpu backend",
            "install libdnnl-dev and build again; --backend reference works meanwhile, slowly"};
  }
  const Version* version = ask();
  return {"oneDNN", Status::kOk, fmt::format("{}.{}.{}", version->major, version->minor, version->patch), ""};
}

// LibTorch's transposed convolutions go through whatever BLAS the system has chosen.
Finding blas() {
  const Library library({"libblas.so.3"});
  if (!library.is_loaded()) {
    return {"BLAS", Status::kNote, library.problem(), "needed by Debian's LibTorch; install libopenblas0-pthread"};
  }
  using Config = const char*();
  Config* config = library.find<Config>("openblas_get_config");
  if (config != nullptr) return {"BLAS", Status::kOk, std::string(config()) + " in " + library.path(), ""};
  return {"BLAS", Status::kNote, library.path() + " is not OpenBLAS",
          "training is 7 to 10 times slower with the reference BLAS; install libopenblas0-pthread"};
}

}  // namespace

DeviceReport probe_cpu() {
  DeviceReport report;
  report.device = "cpu";
  report.findings.push_back({"processor", Status::kOk,
                             fmt::format("{}, {} cores for this process", processor_name(), available_cores()), ""});
  report.findings.push_back(features());
  report.findings.push_back(memory());
  report.findings.push_back(onednn());
  report.refines = report.findings.back().status == Status::kOk;
  report.findings.push_back(torch_finding());
  report.trains = report.findings.back().status == Status::kOk;
  report.findings.push_back(blas());
  return report;
}

}  // namespace posefix::cli::doctor
